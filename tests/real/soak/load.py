"""The producers: they run all the time, at their rates, and know what was acknowledged to them."""
import bisect
import os
import threading
import time

from harness.scope import ProgramFailed

TOPIC, GROUP = 'soak', 'varve-soak'
BATCH_SECONDS, LINES = 5, 14
SAVE_WINDOW = 10                                # seconds that a mosquitto which saves each second may lose, and some more


class KafkaLoad:
    """Rows 0, 1, 2 ... of source k, through a producer with acks=all."""

    def __init__(self, kafka, rows, rate):
        self.kafka, self.rows, self.rate = kafka, rows, rate
        self.made, self.running, self.history = 0, None, []

    def keep_going(self):
        if self.running is not None and self.running.running():
            return
        self.finish()
        messages = max(1, int(self.rate * BATCH_SECONDS / LINES))
        frames = [(-1, b'%d' % n, '\n'.join(self.rows.line('k', n * LINES + i) for i in range(LINES)).encode())
                  for n in range(self.made // LINES, self.made // LINES + messages)]
        self.history.append((time.monotonic(), self.made))
        self.made += messages * LINES
        self.path = self.kafka.write(frames)
        self.running = self.kafka.produce_in_background(TOPIC, self.path, rate=self.rate / LINES)

    def finish(self):
        """Waits until all is acknowledged."""
        if self.running is None:
            return
        if self.running.wait(300) != 0:
            raise ProgramFailed('the Kafka producer failed:\n' + self.running.output())
        os.unlink(self.path)
        self.running = None


class MqttLoad:
    """Rows 0, 1, 2 ... of source m, QoS 1; the even ones for node 1. What a killed mosquitto may have lost or may bring again is kept apart."""

    def __init__(self, broker, rows, rate):
        self.broker, self.rows, self.rate = broker, rows, rate
        self.made, self.uncertain, self.history = 0, [], []
        self.publisher, self.connections = None, 0

    def start(self):
        self.connections += 1
        self.publisher = self.broker.publisher(client_id='soak-%d' % self.connections, to_nobody='allow')
        self.begun, self.ending = self.made, False
        self.thread = threading.Thread(target=self._feed, daemon=True)
        self.thread.start()

    def _feed(self):
        begin = time.monotonic()
        try:
            while not self.ending:
                due = self.begun + int((time.monotonic() - begin) * self.rate)
                while self.made < due and not self.ending:
                    host = self.rows.place(self.made)[0]
                    self.publisher.send('node%d/h%d' % (node_of(self.made), host), self.rows.line('m', self.made).encode())
                    self.made += 1
                self.history.append((time.monotonic(), self.made))
                time.sleep(0.05)
        except OSError:
            pass                                # who ends it says why

    def fails(self):
        """Whether the connection was lost, which only lose() is to provoke."""
        return self.publisher is not None and not self.publisher.process.running()

    def pause(self):
        """Returns once the broker has acknowledged all of it."""
        publisher, self.publisher = self.publisher, None
        self.ending = True
        self.thread.join(60)
        acked, _ = publisher.close(60)
        if acked != self.made - self.begun:
            raise ProgramFailed('publish: %d of %d messages acknowledged' % (acked, self.made - self.begun))

    def lose(self, died):
        """The broker was killed then (monotonic)."""
        publisher, self.publisher = self.publisher, None
        self.ending = True
        self.thread.join(60)
        publisher.process.wait(60)
        try:
            publisher.process.popen.stdin.close()
        except OSError:
            pass
        self.made += 1                          # one may be half written
        self.uncertain.append((self.made_at(died - SAVE_WINDOW), self.made))

    def made_at(self, when):
        """The number that was next then, or a little before."""
        at = bisect.bisect_right(self.history, (when, 0)) - 1
        return self.history[at][1] if at >= 0 else 0

    def uncertain_numbers(self):
        return {n for begin, end in self.uncertain for n in range(begin, end)}


def node_of(number):
    """The node that gets row `number` of source m."""
    return 1 + number % 2


def made_when(load, number):
    """Seconds before now that the row was made, about."""
    numbers = [n for _, n in load.history]
    at = max(0, bisect.bisect_right(numbers, number) - 1)
    return time.monotonic() - load.history[at][0] if load.history else 0.0
