"""Clients that mean an HTTP server no good: they send a byte now and then, take no answers, or are just many."""
import selectors
import socket
import threading
import time


class Slow:
    """One connection. text: what is sent at once; then, if drip, a byte a second. Reads only if reads."""

    def __init__(self, port, text, drip=False, reads=True):
        self.text, self.drip, self.reads = text, drip, reads
        self.answer, self.started, self.ended = b'', time.monotonic(), None
        self.socket = socket.socket()
        if not reads:                           # before connect: the window is agreed on there
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(5)
        self.socket.connect(('127.0.0.1', port))
        self.socket.sendall(text)
        self.socket.setblocking(False)

    def status(self):
        """Of the answer; 0 if it has none."""
        return int(self.answer[9:12]) if self.answer.startswith(b'HTTP/1.1 ') else 0

    def turn(self):
        """Sends its byte, takes what has come."""
        try:
            if self.drip:
                self.socket.send(b'x')
            while self.reads:
                got = self.socket.recv(65536)
                if not got:
                    raise ConnectionError
                self.answer += got
        except BlockingIOError:
            pass
        except OSError:
            self.ended = self.ended or time.monotonic()

    def close(self):
        self.socket.close()


class Crowd:
    """Slow clients, of which `many` are there at any time: who is thrown out comes again. A thread looks after them."""

    def __init__(self, port, text, many, interval=1.0, **how):
        self.port, self.text, self.many, self.interval, self.how = port, text, many, interval, how
        self.clients, self.came, self.stopping = [], 0, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        for client in self.clients:
            client.close()

    def _come(self):
        try:
            self.clients.append(Slow(self.port, self.text, **self.how))
            self.came += 1
        except OSError:                         # no place this time
            pass

    def _run(self):
        while not self.stopping.is_set():
            for client in self.clients:
                client.turn()
            for client in [c for c in self.clients if c.ended]:
                client.close()
                self.clients.remove(client)
            while len(self.clients) < self.many and not self.stopping.is_set():
                before = self.came
                self._come()
                if self.came == before:
                    break
            self.stopping.wait(self.interval)


def wait_for_answers(clients, timeout):
    """Until each has been answered and closed, or the time is up."""
    end = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ)
        while time.monotonic() < end and not all(c.ended for c in clients):
            selector.select(0.2)
            for client in clients:
                client.turn()
