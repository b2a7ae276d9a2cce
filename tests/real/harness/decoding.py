"""What the decoders' oracles share: a stock server that swallows payloads, and the comparison of its export with what a
decoder made of the same bytes (decode_dump)."""
import collections
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

STALE = 'stale'     # the value of a staleness marker


class Server:
    def __init__(self, binary):
        self.dir = tempfile.mkdtemp(prefix='decode_oracle.')
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        self.url = f'http://127.0.0.1:{port}'
        self.log = open(os.path.join(self.dir, 'log'), 'wb')
        self.process = subprocess.Popen(
            [binary, f'-storageDataPath={self.dir}/data', f'-httpListenAddr=127.0.0.1:{port}', '-retentionPeriod=100y',
             '-memory.allowedPercent=10', '-search.latencyOffset=0s', '-search.disableCache', '-loggerOutput=stderr',
             '-search.maxExportSeries=100000000', '-search.maxUniqueTimeseries=100000000', '-loggerErrorsPerSecondLimit=1'],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        for _ in range(300):
            try:
                self.get('/health')
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        self.stop()
        sys.exit('the stock server does not start')

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=120) as answer:
            return answer.read()

    def post(self, path, payload, headers):
        """-> HTTP status."""
        request = urllib.request.Request(self.url + path, data=payload, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status
        except urllib.error.HTTPError as e:
            return e.code

    def export(self, match='{__name__!=""}'):
        self.get('/internal/force_flush')
        query = urllib.parse.urlencode({'match[]': match, 'start': 0, 'end': int(time.time()) + 90000})
        return self.get('/api/v1/export?' + query)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def value_of(v):
    if v is None:
        return STALE
    return {'Infinity': float('inf'), '-Infinity': float('-inf')}.get(v, v) if isinstance(v, str) else float(v)


def load(text):
    return json.loads(text.decode('utf-8', 'surrogateescape'), object_pairs_hook=list, strict=False)


def decode(dump, decoder, payloads, directory):
    """Per payload: [(labels in order, timestamp or None, value)], report."""
    paths = []
    for i, payload in enumerate(payloads):
        paths.append(os.path.join(directory, f'{i:06d}'))
        with open(paths[-1], 'wb') as f:
            f.write(payload)
    results, samples = [], []
    for at in range(0, len(paths), 500):
        for text in subprocess.run([dump, decoder] + paths[at:at + 500], check=True, stdout=subprocess.PIPE).stdout.split(b'\n'):
            if not text:
                continue
            row = dict(load(text))
            if 'metric' in row:
                samples.append((row['metric'], row['timestamps'][0], value_of(row['values'][0])))
            else:
                results.append((samples, row))
                samples = []
    return results


def series_key(labels):
    return frozenset(dict(labels).items())


def collect_ours(results, now_ms, too_large):
    ours = collections.defaultdict(list)
    for samples, _ in results:
        for labels, stamp_ms, value in samples:
            if too_large(labels) or (stamp_ms is not None and not 86400000 <= stamp_ms < now_ms + 2 * 86400000):
                continue
            ours[series_key(labels)].append((stamp_ms, value))
    return ours


def collect_stock(text):
    stock = collections.defaultdict(list)
    for row in text.split(b'\n'):
        if row:
            row = dict(load(row))
            stock[series_key(row['metric'])] += zip(row['timestamps'], map(value_of, row['values']))
    return stock


def sample_order(sample):
    return sample[0] is None, sample[0] or 0, str(sample[1])


def differences(ours, stock, started_ms, ended_ms):
    for key in sorted(set(ours) | set(stock), key=lambda k: sorted(k)):
        a = sorted(ours.get(key, []), key=sample_order)
        b = sorted(stock.get(key, []), key=sample_order)
        if len(a) == len(b) == 1 and a[0][0] is None:
            same = started_ms - 1000 <= b[0][0] <= ended_ms + 1000 and a[0][1] == b[0][1]
        elif len(a) == len(b) > 1:  # a block's common scale may have rounded them
            same = any(s[0] is None for s in a) or [s[0] for s in a] == [s[0] for s in b]
        else:
            same = a == b
        if not same:
            yield sorted(key), a, b
