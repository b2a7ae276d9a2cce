"""A stock VictoriaMetrics v1.151.0: the judge of directories and of what a payload means."""
import os
from urllib.parse import quote, urlencode

from .http import Client
from .scope import TESTBED, ProgramFailed, free_port, wait_until

EVERYTHING = '{__name__!=""}'
FAR = [('start', '1'), ('end', '4102444800')]       # 1970 .. 2100; a start of 0 would mean the default


def _span(span):
    return FAR if span is None else [('start', str(span[0])), ('end', str(span[1]))]


def binary(scope):
    """Path of the stock server; oracle.sh builds it once."""
    for line in scope.run(['bash', os.path.join(TESTBED, 'oracle.sh')], timeout=900).stdout.decode().splitlines():
        name, _, path = line.partition('=')
        if name == 'VM_NEW':
            return path
    raise ProgramFailed('oracle.sh names no VM_NEW')


class Stock:
    def __init__(self, scope, directory, name='stock', flags=(), program=None):
        """program: path from binary(), to ask for it only once."""
        self.scope, self.dir, self.name, self.flags = scope, directory, name, list(flags)
        self.program = program or binary(scope)
        self.process = self.http = None

    def launch(self):
        """Starts it without waiting."""
        self.port = free_port()
        args = [self.program, '-storageDataPath=' + self.dir, '-httpListenAddr=127.0.0.1:%d' % self.port, '-retentionPeriod=100y',
                '-search.latencyOffset=0s', '-search.disableCache', '-search.maxUniqueTimeseries=2000000', '-search.maxExportSeries=20000000',
                '-search.maxSeries=2000000', '-loggerOutput=stderr', *self.flags]
        if not any(f.startswith('-memory.') for f in self.flags):
            args.append('-memory.allowedPercent=10')
        self.process = self.scope.spawn(args, log=self.scope.path(self.name + '.log'))
        self.http = Client(self.port)
        return self

    def start(self):
        self.launch()

        def up():
            if not self.process.running():
                raise ProgramFailed('%s: exit %s\n%s' % (self.name, self.process.exit_code(), self.process.output()[-1500:]))
            return self.http.answers('/health')
        wait_until(up, 60, self.name + ' answers')
        return self

    def stop(self):
        self.http.close()
        code = self.process.stop(120)
        if code != 0:
            raise ProgramFailed('%s: exit %d\n%s' % (self.name, code, self.process.output()[-1500:]))

    # -------------------------------------------------------------- writing

    def ingest(self, payloads, group=1 << 20):
        """The payloads of messages as influx lines; a bad line costs only itself (Stream-Mode)."""
        batch, size = [], 0
        for p in payloads:
            batch.append(p)
            size += len(p)
            if size >= group:
                self._write(batch)
                batch, size = [], 0
        if batch:
            self._write(batch)

    def write(self, path, body, params=(), headers=None):
        """Any payload to the path of its format; params: pairs of the URL."""
        self.http.post(path + ('?' + urlencode(params) if params else ''), body, headers)

    def _write(self, batch):
        self.http.post('/write', b'\n'.join(batch), {'Stream-Mode': '1'})

    def flush(self):
        self.http.get('/internal/force_flush')

    def settle(self):
        """Makes everything ingested visible. A flush alone doesn't: caches of the index may hide new series for 10 s more."""
        self.stop()
        self.start()

    def force_merge(self, partition_prefix=''):
        """Starts a forced merge and waits for its end."""
        self.http.get('/internal/force_merge', {'partition_prefix': partition_prefix} if partition_prefix else ())
        wait_until(self._no_merge, 600, 'forced merge ends', 0.2)

    def _no_merge(self):
        m = self.http.get('/metrics').decode()
        return not any(line.startswith(('vm_active_force_merges', 'vm_active_merges')) and float(line.split()[-1]) > 0 for line in m.splitlines())

    # -------------------------------------------------------------- reading

    def export(self, match=EVERYTHING):
        """Lines (bytes) of /api/v1/export."""
        return self.http.get('/api/v1/export', [('match[]', match), *FAR]).splitlines()

    def series(self, match=EVERYTHING, span=None):
        """span: (start, end) in seconds, default everything; so below."""
        return self.http.json('/api/v1/series', [('match[]', match), *_span(span)])['data']

    def labels(self, span=None):
        return self.http.json('/api/v1/labels', _span(span))['data']

    def label_values(self, name, span=None):
        return self.http.json('/api/v1/label/%s/values' % quote(name, safe=''), _span(span))['data']

    def query(self, text, at):
        return self.http.json('/api/v1/query', [('query', text), ('time', str(at)), ('nocache', '1')])['data']

    def query_range(self, text, start, end, step):
        return self.http.json('/api/v1/query_range', [('query', text), ('start', str(start)), ('end', str(end)), ('step', str(step)), ('nocache', '1')])['data']
