"""The program under test."""
import json
import os
import re
import shutil
import subprocess

from .compare import Export
from .http import Client
from .scope import TESTBED, ProgramFailed, TimedOut, free_port, wait_until

PLAIN = re.compile(r'^[A-Za-z0-9_./][A-Za-z0-9_./:%-]*$')
NUMBER = re.compile(r'^[-+.0-9]+$')
METRIC = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')


def scalar(v):
    if isinstance(v, bool):
        return 'true' if v else 'false'
    if isinstance(v, (int, float)):
        return str(v)
    if PLAIN.match(v) and not NUMBER.match(v) and v not in ('true', 'false', 'null') and ': ' not in v:
        return v
    return json.dumps(v, ensure_ascii=False)


def yaml(node, indent=0):
    """Nested dicts and lists as YAML block style."""
    pad = ' ' * indent
    out = []
    if isinstance(node, dict):
        for k, v in node.items():
            if isinstance(v, (dict, list)) and v:
                out.append('%s%s:\n%s' % (pad, k, yaml(v, indent + 2)))
            else:
                out.append('%s%s: %s\n' % (pad, k, '{}' if v == {} else '[]' if v == [] else scalar(v)))
    else:
        for v in node:
            if isinstance(v, (dict, list)):
                out.append('%s- %s' % (pad, yaml(v, indent + 2).lstrip()))
            else:
                out.append('%s- %s\n' % (pad, scalar(v)))
    return ''.join(out)


def binary(build):
    """The program of a build directory."""
    path = os.path.join(os.path.abspath(build), 'src', 'varve')
    if not os.access(path, os.X_OK):
        raise ProgramFailed('no program at %s: build it first' % path)
    return path


def has_fault_points(build):
    try:
        with open(os.path.join(build, 'CMakeCache.txt')) as f:
            return any(line.startswith('VARVE_FAULT_POINTS:') and line.strip().endswith('=ON') for line in f)
    except OSError:
        return False


def metrics(text):
    """Exposition text -> {(name, ((label, value), ...) sorted): value}"""
    out = {}
    for line in text.splitlines():
        m = METRIC.match(line)
        if m and not line.startswith('#'):
            labels = tuple(sorted(LABEL.findall(m.group(2) or '')))
            out[(m.group(1), labels)] = float(m.group(3))
    return out


def positions(report, topic, prepared=False):
    """Kafka positions of one topic in `inspect --json` -> {partition: next offset}. Takes the largest of several sinks'; if asked for, of a
    prepared commit, too."""
    found = {}
    for p in report['positions'] + (report.get('prepared', {}).get('positions', []) if prepared else []):
        if p.get('type') == 'kafka' and p['topic'] == topic:
            number = int(p['partition'])
            found[number] = max(found.get(number, 0), int(p['next']))
    return found


class Varve:
    def __init__(self, scope, build, directory, sinks, name='varve', storage=None, **config):
        """sinks: list of dicts as in the YAML. storage: further keys beside path."""
        self.scope, self.program, self.dir, self.name = scope, binary(build), directory, name
        self.port = free_port()
        self.config = {'node': 'test', 'storage': {'path': directory, 'retention': '100y', 'flush_interval': '1s', **(storage or {})},
                       'sinks': sinks, 'http': {'listen': '127.0.0.1:%d' % self.port}, **config}
        self.file = scope.path(name + '.yaml')
        self.process = None
        self.env = None                         # further variables, of each start
        self.http = Client(self.port)

    def launch(self, env=None):
        """Starts it without waiting."""
        with open(self.file, 'w', encoding='utf-8') as f:
            f.write(yaml(self.config))
        self.process = self.scope.spawn([self.program, 'serve', '-c', self.file], log=self.scope.path(self.name + '.log'), env=env or self.env)
        return self

    def start(self, env=None, timeout=60):
        self.launch(env)

        def up():
            if not self.process.running():
                raise ProgramFailed('varve serve: exit %s\n%s' % (self.process.exit_code(), self.process.output()[-2000:]))
            return self.http.answers('/ready')
        wait_until(up, timeout, 'varve is ready')
        return self

    def stop(self, timeout=10):
        """SIGTERM -> (exit code, seconds). A process that isn't gone in time is killed and counts as exit code None."""
        import time
        self.http.close()
        begin = time.monotonic()
        try:
            return self.process.stop(timeout), time.monotonic() - begin
        except TimedOut:
            self.process.kill()
            return None, time.monotonic() - begin

    def kill(self):
        self.http.close()
        self.process.kill()

    # ---------------------------------------------------------- while it runs

    def flush(self):
        self.http.get('/internal/force_flush')

    def metrics(self):
        return metrics(self.http.get('/metrics').decode())

    def metric(self, name, **labels):
        """Sum over all series of that name with these labels; 0 if there's none."""
        want = set(labels.items())
        return sum(v for (n, have), v in self.metrics().items() if n == name and want <= set(have))

    def wait_durable(self, kafka, group, topic, timeout=120):
        """Until the group has committed everything that the topic's partitions hold: that is, until all of it is durable."""
        high = {p: h for p, h in kafka.high(topic).items() if h > 0}

        def done():
            if not self.process.running():
                raise ProgramFailed('varve ended by itself: exit %s\n%s' % (self.process.exit_code(), self.process.output()[-2000:]))
            committed = kafka.committed(group, topic)
            return all(committed[p] >= h for p, h in high.items())
        try:
            wait_until(done, timeout, 'everything durable', 0.1)
        except TimedOut as e:
            raise TimedOut('%s: committed %s of %s' % (e, kafka.committed(group, topic), high)) from None

    # -------------------------------------------------------- a stopped store

    def command(self, *args, check=False, timeout=300):
        return self.scope.run([self.program, *args], timeout=timeout, check=check)

    def inspect(self, directory=None):
        return json.loads(self.command('inspect', directory or self.dir, '--json', check=True).stdout)

    def positions(self, topic, directory=None, prepared=False):
        return positions(self.inspect(directory), topic, prepared)

    def export(self, directory=None):
        return Export(self.command('export', directory or self.dir, check=True).stdout.splitlines())

    def export_lines(self, directory=None):
        """The export's lines (bytes), as they come: a large one isn't held whole."""
        errors = self.scope.path(self.name + '.export.log')
        with open(errors, 'wb') as err:
            p = subprocess.Popen([self.program, 'export', directory or self.dir], stdout=subprocess.PIPE, stderr=err)
            try:
                yield from p.stdout
            finally:
                p.stdout.close()
                code = p.wait(60)
        if code != 0:
            with open(errors, encoding='utf-8', errors='replace') as f:
                raise ProgramFailed('varve export: exit %d\n%s' % (code, f.read()[-1000:]))

    def copy(self, name):
        """A copy of the directory as it is now -> its path."""
        to = self.scope.path(name)
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.dir, to, symlinks=True)
        return to


_python = []


def vmread_program(scope):
    """The command of the testbed's independent reader; a directory is to follow."""
    if not _python:
        _python.append(scope.run(['bash', os.path.join(TESTBED, 'python.sh')], timeout=600).stdout.decode().strip())
    return [_python[0], os.path.join(TESTBED, 'vmread.py')]


def vmread(scope, directory):
    """The directory as the independent reader of the testbed sees it -> Export."""
    r = scope.run([*vmread_program(scope), directory], timeout=600)
    if r.stderr:
        raise ProgramFailed('vmread.py: ' + r.stderr.decode('utf-8', 'replace')[:1000])
    return Export(r.stdout.splitlines())


def sink(brokers, topic, group='varve-test', name='plant', **more):
    """A Kafka sink's YAML. VARVE_TEST_FENCED=1 in the environment runs a test with fenced_commits where it has one sink."""
    if os.environ.get('VARVE_TEST_FENCED'):
        more = {'fenced_commits': True, **more}
    return {'name': name, 'type': 'kafka', 'brokers': brokers if isinstance(brokers, list) else [brokers],
            'topics': topic if isinstance(topic, list) else [topic], 'group': group, 'format': 'influx', **more}
