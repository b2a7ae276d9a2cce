"""A test's surroundings: a temporary directory, the processes started in it, and their certain end."""
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
TESTBED = os.path.join(REPO, 'tests', 'testbed')
TICKS = os.sysconf('SC_CLK_TCK')


class TimedOut(Exception):
    """Something didn't happen in time."""


class ProgramFailed(Exception):
    """A program ended in a way that the test can't go on from."""


def wait_until(condition, timeout, what, interval=0.05):
    """Calls condition() until it returns something true, and returns that."""
    end = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise TimedOut('%s: not within %g s' % (what, timeout))
        time.sleep(interval)


_taken = []                                     # sockets whose names say which ports are this process's


def take_port(port):
    """Whether nobody listens on it, and no other test has it for a server that is down just now. It's this process's till its end."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind('\0varve-test-port-%d' % port)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(('127.0.0.1', port))
    except OSError:
        name.close()
        return False
    _taken.append(name)
    return True


def free_port():
    """A port on loopback, below the range from which the kernel takes outgoing ports; see take_port()."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(11000, 31000)
        if take_port(port):
            return port
    raise ProgramFailed('no free port')


class Process:
    """A child in its own session, so that Ctrl-C reaches only the test, with its output in a log file."""

    def __init__(self, args, log, env=None, stdin=None, stdout=None):
        self.args, self.log = args, log
        with open(log, 'ab') as out:
            self.log_start = out.tell()
            self.popen = subprocess.Popen(args, stdin=stdin or subprocess.DEVNULL, stdout=stdout or out, stderr=out,
                                          env=None if env is None else {**os.environ, **env}, start_new_session=True)
        self.pid = self.popen.pid

    def exit_code(self):
        """None while it runs; a signal's number negated."""
        return self.popen.poll()

    def running(self):
        return self.popen.poll() is None

    def wait(self, timeout):
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimedOut('%s: still runs after %g s' % (os.path.basename(self.args[0]), timeout)) from None

    def signal(self, number):
        if self.running():
            self.popen.send_signal(number)

    def kill(self):
        """SIGKILL, also of a stopped process; returns when it's gone."""
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def stop(self, timeout=30):
        """SIGTERM and wait; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def _stat(self):
        with open('/proc/%d/stat' % self.pid) as f:
            return f.read().rpartition(') ')[2].split()

    def state(self):
        """The letter of /proc/PID/stat: T is stopped."""
        return self._stat()[0]

    def cpu_seconds(self):
        """User and system time of all its threads, ended ones too."""
        stat = self._stat()
        return (int(stat[11]) + int(stat[12])) / TICKS

    def rss_peak_mib(self):
        with open('/proc/%d/status' % self.pid) as f:
            for line in f:
                if line.startswith('VmHWM:'):
                    return int(line.split()[1]) / 1024
        raise ProgramFailed('no VmHWM of %d' % self.pid)

    def output(self):
        """What it printed since this start."""
        with open(self.log, 'rb') as f:
            f.seek(self.log_start)
            return f.read().decode('utf-8', 'replace')


class Scope:
    """with Scope('e2e', keep_logs_in=DIR) as scope: ... ends and deletes everything at the end, however it comes.

    When the block fails (or .failed is set) the logs are copied below keep_logs_in first.
    """

    def __init__(self, name, keep_logs_in=None, base=None):
        self.name, self.keep_logs_in, self.failed = name, keep_logs_in, False
        self.dir = tempfile.mkdtemp(prefix='varve-%s-' % name, dir=base)
        self.processes, self.closers, self.programs = [], [], {}

    def __enter__(self):
        def interrupted(number, _frame):
            raise SystemExit(128 + number)
        self.old_handlers = {s: signal.signal(s, interrupted) for s in (signal.SIGTERM, signal.SIGHUP)}
        return self

    def __exit__(self, kind, _value, _traceback):
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, signal.SIG_IGN)        # a second Ctrl-C doesn't stop the clearing up
        for closer in reversed(self.closers):
            try:
                closer()
            except Exception as e:                  # the others still have to end
                print('%s: while ending: %s' % (self.name, e), file=sys.stderr)
        for p in self.processes:
            p.kill()
        if (kind is not None or self.failed) and kind not in (KeyboardInterrupt, SystemExit):
            self.keep_logs()
        shutil.rmtree(self.dir, ignore_errors=True)
        for s, handler in self.old_handlers.items():
            signal.signal(s, handler)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def keep_logs(self):
        if not self.keep_logs_in:
            return
        to = os.path.join(self.keep_logs_in, 'real-logs', '%s-%d' % (self.name, os.getpid()))
        for folder, _, files in os.walk(self.dir):
            for f in files:
                if f.endswith(('.log', '.yaml', '.txt')) and '/data/' not in folder + '/':
                    os.makedirs(to, exist_ok=True)
                    flat = os.path.relpath(os.path.join(folder, f), self.dir).replace('/', '_')
                    shutil.copyfile(os.path.join(folder, f), os.path.join(to, flat))
        print('logs: %s' % to, file=sys.stderr)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def at_end(self, closer):
        self.closers.append(closer)

    def spawn(self, args, log=None, **more):
        p = Process(args, log or self.path(os.path.basename(args[0]) + '.log'), **more)
        self.processes.append(p)
        return p

    def run(self, args, timeout=120, check=True, env=None, **more):
        """Runs to the end with its output captured -> subprocess.CompletedProcess (bytes)."""
        r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, start_new_session=True,
                           env=None if env is None else {**os.environ, **env}, **more)
        if check and r.returncode != 0:
            raise ProgramFailed('%s: exit %d\n%s' % (' '.join(args[:6]), r.returncode, r.stderr.decode('utf-8', 'replace')[-2000:]))
        return r

    def run_logged(self, args, log, timeout=120):
        """As run, with all output in an open file: for programs that leave a child behind."""
        r = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=timeout, start_new_session=True)
        if r.returncode != 0:
            with open(log.name, 'rb') as f:
                raise ProgramFailed('%s: exit %d\n%s' % (' '.join(args[:4]), r.returncode, f.read()[-2000:].decode('utf-8', 'replace')))

    def compile(self, source, *libraries):
        """Builds a small C program of the tests once -> its path."""
        if source not in self.programs:
            out = self.path(os.path.splitext(os.path.basename(source))[0])
            self.run([os.environ.get('CC', 'cc'), '-O2', '-o', out, source, *('-l' + x for x in libraries)])
            self.programs[source] = out
        return self.programs[source]
