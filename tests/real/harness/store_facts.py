"""What is in a directory, as Varve sees it that opens it: tests/real/store_facts.c, one process for thousands of directories."""
import json
import os
import subprocess
import tempfile

from .scope import ProgramFailed


class Facts:
    """error: None, or why Varve wouldn't have it; found: there was a store; positions: {key: next}; rows: {(series, timestamp, value)};
    rejects: [payload]; spool: (id, first LSN, next LSN, torn bytes, damaged records) or None; records: {LSN: payload};
    names: {LSN: (packet id, hash)}; ring: [(packet id, hash)]
    """

    def __init__(self, lines):
        self.error, self.found, self.spool, self.doubled = None, False, None, 0
        self.positions, self.rows, self.rejects, self.records, self.names, self.ring = {}, set(), [], {}, {}, []
        for line in lines:
            word, _, rest = line.partition(' ')
            getattr(self, '_' + word)(rest)

    def _store(self, rest):
        self.found = rest == 'found'

    def _error(self, rest):
        self.error = rest

    def _position(self, rest):
        key, _, n = rest.rpartition(' ')
        self.positions[key] = int(n)

    def _row(self, rest):
        o = json.loads(rest)
        series = json.dumps(o['metric'], sort_keys=True)
        rows = {(series, t, v) for t, v in zip(o['timestamps'], o['values'])}
        self.doubled += len(o['values']) - len(rows - self.rows)
        self.rows |= rows

    def _reject(self, rest):
        self.rejects.append(bytes.fromhex(rest))

    def _spool(self, rest):
        name, *numbers = rest.split(' ')
        self.spool = (name, *map(int, numbers))

    def _record(self, rest):
        lsn, packet_id, name, payload = rest.split(' ')
        self.records[int(lsn)] = bytes.fromhex(payload)
        self.names[int(lsn)] = (int(packet_id), name)

    def _ring(self, rest):
        packet_id, name = rest.split(' ')
        self.ring.append((int(packet_id), name))


class Teller:
    """with Teller(build, 'field', client_id, port) as t: t.of(directory) -> Facts. The directory is changed by it."""

    def __init__(self, build, spool, client_id, port):
        self.program = os.path.join(os.path.abspath(build), 'tests', 'real', 'store_facts')
        if not os.access(self.program, os.X_OK):
            raise ProgramFailed('%s: not built' % self.program)
        self.session, self.process = '%s %s 127.0.0.1 %d' % (spool, client_id, port), None
        self.log = tempfile.TemporaryFile()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self._end()
        self.log.close()

    def _end(self):
        """-> exit code"""
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.stdout.close()
        code, self.process = self.process.wait(), None      # the next one gets another
        return code

    def of(self, directory):
        if not self.process:
            self.process = subprocess.Popen([self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        lines = []
        try:
            self.process.stdin.write(('%s %s\n' % (self.session, directory)).encode())
            self.process.stdin.flush()
            for line in self.process.stdout:
                if line == b'end\n':
                    return Facts(lines)
                lines.append(line.decode().rstrip('\n'))
        except BrokenPipeError:
            pass
        code = self._end()
        self.log.seek(0)
        return Facts(['error it ended with %d: %s' % (code, self.log.read().decode('utf-8', 'replace').replace('\n', '|')[-500:])])
