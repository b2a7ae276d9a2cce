"""A real MQTT broker (mosquitto, HiveMQ CE), through tests/testbed/mqtt.sh, and the publisher tests/real/publish.c."""
import os
import struct
import subprocess

from .scope import REPO, TESTBED, ProgramFailed, TimedOut, free_port, wait_until

SCRIPT = os.path.join(TESTBED, 'mqtt.sh')
HEADER = struct.Struct('<III')


def frame(topic, payload, qos=1, retain=False):
    """One message as publish.c reads it. topic: str or bytes."""
    if isinstance(topic, str):
        topic = topic.encode()
    return b''.join((HEADER.pack(qos | (4 if retain else 0), len(topic), len(payload)), topic, payload))


def write(path, messages):
    """messages: iterable of (topic, payload[, qos[, retain]]) -> path"""
    with open(path, 'wb') as f:
        for m in messages:
            f.write(frame(*m))
    return path


class Mqtt:
    """One broker on loopback without TLS. Its directory survives stop(), kill() and restart().

    Sessions' queues have no bound. persist: they survive the broker; it writes them `save`: 'every' change, or each 'second'.
    """

    def __init__(self, scope, name='mqtt', broker='mosquitto', persist=False, save='second', options=()):
        self.scope, self.dir, self.broker, self.port = scope, scope.path(name), broker, free_port()
        self.options = ['--broker', broker, '--inflight', '0', '--queued', '0', '--save', save, *([] if persist else ['--no-persist']), *options]
        self.publish_path = scope.compile(os.path.join(REPO, 'tests', 'real', 'publish.c'))
        self.files = 0
        scope.at_end(self.close)

    def _script(self, *args):
        # The script's pipes must not be inherited by the broker for ever: its output goes to a file.
        with open(self.dir + '.start.log', 'ab') as log:
            self.scope.run_logged(['bash', SCRIPT, *args], log, timeout=300)

    def start(self):
        self._script('start', self.dir, '--port', str(self.port), *self.options)
        return self

    def stop(self):
        self._script('stop', self.dir)

    def kill(self):
        self._script('kill', self.dir)

    def restart(self):
        """Starts it again after stop() or kill(), with the data it had."""
        self._script('restart', self.dir)

    def signal(self, number):
        os.kill(self._pid(), number)

    def close(self):
        if os.path.exists(os.path.join(self.dir, 'conf')):
            self.kill()

    @property
    def address(self):
        return '127.0.0.1:%d' % self.port

    @property
    def url(self):
        """As `broker` in Varve's configuration."""
        return 'mqtt://' + self.address

    def _pid(self):
        with open(os.path.join(self.dir, 'pid')) as f:
            return int(f.read().split()[0])

    def cpu_seconds(self):
        with open('/proc/%d/stat' % self._pid()) as f:
            stat = f.read().rpartition(') ')[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf('SC_CLK_TCK')

    # -------------------------------------------------------- publishing

    def publish_args(self, path, rate=0, inflight=1000, loop=1, to_nobody='refuse', client_id=None):
        """to_nobody='refuse': a QoS 1 message that no subscription takes is a failure."""
        return [self.publish_path, self.address, path, '--rate', str(rate), '--inflight', str(inflight), '--loop', str(loop),
                '--to-nobody', to_nobody, *(['--client-id', client_id] if client_id else [])]

    def write(self, messages):
        """Messages (topic, payload[, qos[, retain]]) into a frame file of this test -> its path."""
        self.files += 1
        return write('%s.%d.frames' % (self.dir, self.files), messages)

    def publish(self, messages, **options):
        """messages: frame file or iterable of (topic, payload[, qos[, retain]]). All QoS 1 messages are acknowledged when it
        returns -> (their number, number of QoS 0)"""
        path = messages if isinstance(messages, str) else self.write(messages)
        acked, sent = self.scope.run(self.publish_args(path, **options), timeout=900).stdout.split()
        if not isinstance(messages, str):
            os.unlink(path)
        return int(acked), int(sent)

    def publish_in_background(self, path, **options):
        """-> Process; its output's last line is "ACKED QOS0"."""
        return self.scope.spawn(self.publish_args(path, **options), log=self.dir + '.publish.log')

    def publisher(self, **options):
        """A connection that stays -> Publisher"""
        return Publisher(self, options)


class Publisher:
    """Publishes one message at a time, at once, over one connection."""

    def __init__(self, broker, options):
        self.process = broker.scope.spawn(broker.publish_args('-', **options), log=broker.dir + '.publisher.log', stdin=subprocess.PIPE)

    def send(self, *message):
        """topic, payload[, qos[, retain]]; doesn't wait for the PUBACK."""
        self.process.popen.stdin.write(frame(*message))
        self.process.popen.stdin.flush()

    def close(self, timeout=30):
        """Waits for all PUBACKs -> (messages acknowledged, number of QoS 0)"""
        self.process.popen.stdin.close()
        if self.process.wait(timeout) != 0:
            raise ProgramFailed('publish: ' + self.process.output()[-1000:])
        acked, sent = self.process.output().split()[-2:]
        return int(acked), int(sent)


def sink(broker, subscriptions, name='edge', client_id='varve-test', **more):
    """An MQTT sink's YAML. subscriptions: see subscription()."""
    return {'name': name, 'type': 'mqtt', 'broker': broker.url, 'client_id': client_id, 'subscriptions': subscriptions, **more}


def subscription(topic_filter, decoder='influx', qos=1, **more):
    return {'filter': topic_filter, 'qos': qos, 'format': decoder, **more}


def wait_connected(varve, name='edge', connects=1, timeout=30):
    """Until the sink is connected, and has connected and subscribed that often since its start."""
    wait_until(lambda: _running(varve) and varve.metric('varve_mqtt_connected', sink=name) == 1 and
               varve.metric('varve_mqtt_connects_total', sink=name) >= connects, timeout, 'sink %s is connected' % name)


def position(varve, name='edge'):
    """In a stopped store: the number of the sink's next message; all before it are in the store. Numbers begin with 1."""
    found = [int(p['next']) for p in varve.inspect()['positions'] if p.get('sink') == name]
    if len(found) != 1:
        raise ProgramFailed('%d positions of sink %s' % (len(found), name))
    return found[0]


def wait_durable(varve, messages, name='edge', timeout=120):
    """Until the sink has taken in that many messages since Varve's start, and they are in the store's files."""
    try:
        wait_until(lambda: _running(varve) and varve.metric('varve_sink_messages_total', sink=name) >= messages, timeout,
                   '%d messages of sink %s taken in' % (messages, name), 0.05)
    except TimedOut as e:
        shown = ('varve_sink_messages_total', 'varve_mqtt_received_messages_total', 'varve_spool_bytes', 'varve_spool_next_lsn', 'varve_mqtt_held_pubacks')
        raise TimedOut('%s: %s' % (e, ', '.join('%s %d' % (m, varve.metric(m, sink=name)) for m in shown))) from None
    varve.flush()


def _running(varve):
    if not varve.process.running():
        raise ProgramFailed('varve ended by itself: exit %s\n%s' % (varve.process.exit_code(), varve.process.output()[-2000:]))
    return True
