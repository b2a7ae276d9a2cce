"""A real Apache Kafka, through tests/testbed/kafka.sh and kt."""
import os
import time

from . import frames
from .scope import REPO, TESTBED, ProgramFailed, free_port

SCRIPT = os.path.join(TESTBED, 'kafka.sh')


class Kafka:
    """One broker on loopback. Its directory survives stop(), kill() and start()."""

    def __init__(self, scope, name='kafka', options=()):
        self.scope, self.dir, self.options = scope, scope.path(name), list(options)
        self.port, self.ctl_port = free_port(), free_port()
        self.kt_path = scope.compile(os.path.join(TESTBED, 'kt.c'), 'rdkafka')
        self.produce_path = scope.compile(os.path.join(REPO, 'tests', 'real', 'produce.c'), 'rdkafka')
        self.started = False
        self.files = 0
        scope.at_end(self.close)

    def start(self, port=None):
        """Starts it, on another port if one is given, with the data it had."""
        self.port = port or self.port
        args = ['bash', SCRIPT, 'start', self.dir, '--port', str(self.port), '--ctl-port', str(self.ctl_port), *self.options]
        # The script's pipes must not be inherited by the broker for ever: its output goes to a file.
        with open(self.dir + '.start.log', 'ab') as log:
            self.scope.run_logged(args + (['--keep'] if self.started else []), log, timeout=300)
        self.started = True
        return self

    @property
    def brokers(self):
        return '127.0.0.1:%d' % self.port

    def stop(self):
        self.scope.run(['bash', SCRIPT, 'stop', self.dir])

    def kill(self):
        self.scope.run(['bash', SCRIPT, 'kill', self.dir])

    def close(self):
        if os.path.exists(os.path.join(self.dir, 'conf')):
            self.kill()

    def kt(self, *args):
        return self.scope.run([self.kt_path, self.brokers, *map(str, args)]).stdout.decode()

    def create(self, topic, partitions=1, **config):
        self.kt('create', topic, partitions, 1, *('%s=%s' % (k.replace('_', '.'), v) for k, v in config.items()))

    def high(self, topic):
        """-> {partition: high watermark}"""
        return {int(p): int(high) for p, _, high in (line.split() for line in self.kt('watermarks', topic).splitlines())}

    def committed(self, group, topic):
        """-> {partition: offset committed by the group, -1001 for none}"""
        for attempt in range(20):
            try:
                return {int(p): int(o) for p, o in (line.split() for line in self.kt('committed', group, topic).splitlines())}
            except ProgramFailed:               # a broker that has just started isn't a coordinator yet
                if attempt == 19:
                    raise
                time.sleep(0.3)

    def produce_args(self, topic, path, codec='lz4', rate=0, max_bytes=None):
        args = [self.produce_path, self.brokers, topic, path, '--codec', codec]
        if rate:
            args += ['--rate', str(rate)]
        if max_bytes:
            args += ['--max-bytes', str(max_bytes)]
        return args

    def write(self, messages):
        """Messages (partition, key, value) into a frame file of this test -> its path."""
        self.files += 1
        return frames.write('%s.%d.frames' % (self.dir, self.files), messages)

    def produce(self, topic, messages, **options):
        """messages: frame file or iterable of (partition, key, value); returns the number delivered."""
        path = messages if isinstance(messages, str) else self.write(messages)
        delivered = int(self.scope.run(self.produce_args(topic, path, **options), timeout=600).stdout)
        if not isinstance(messages, str):
            os.unlink(path)
        return delivered

    def produce_rich(self, messages):
        """messages: (topic, value, key, time in ms, headers), see frames.rich_frame; topics are made as they come."""
        self.files += 1
        path = '%s.%d.frames' % (self.dir, self.files)
        with open(path, 'wb') as f:
            f.writelines(frames.rich_frame(*m) for m in messages)
        delivered = int(self.scope.run(self.produce_args('unused', path) + ['--rich', '1'], timeout=600).stdout)
        os.unlink(path)
        return delivered

    def produce_in_background(self, topic, path, **options):
        """-> Process"""
        return self.scope.spawn(self.produce_args(topic, path, **options), log=self.dir + '.produce.log')

    def log_segments(self, topic, partition):
        """Paths of the partition's .log files; meant for a stopped broker."""
        folder = os.path.join(self.dir, 'node1', 'data', '%s-%d' % (topic, partition))
        return sorted(os.path.join(folder, n) for n in os.listdir(folder) if n.endswith('.log'))
