"""A consumer group as its coordinator's log tells of it."""
import os
import re
import time

STABLE = re.compile(r'Stabilized group (\S+) generation \d+ with (\d+) members')
THROWN_OUT = re.compile(r"has failed, removing it|haven't sent their sync|haven't joined|session timeout expiration|fenced|member .* due to")


class Group:
    def __init__(self, kafka, name):
        self.name, self.file, self.from_ = name, os.path.join(kafka.dir, 'node1', 'out.log'), 0

    def mark(self):
        """What follows looks at what is logged from now on."""
        self.from_ = os.path.getsize(self.file)

    def _lines(self):
        with open(self.file, 'rb') as f:
            f.seek(self.from_)
            text = f.read().decode('utf-8', 'replace')
        return [line for line in text.splitlines() if re.search(r'\b%s\b' % re.escape(self.name), line)]

    def since_mark(self):
        return '\n'.join(line for line in self._lines() if 'group' in line.lower())

    def wait_stable(self, members, reached, seconds, since):
        """Until a rebalance has ended with so many members, none follows it, and reached() -> seconds since then; None: not in time."""
        while True:
            now = time.monotonic()
            said = [line for line in self._lines() if 'Preparing to rebalance' in line or STABLE.search(line)]
            found = STABLE.search(said[-1]) if said else None
            if found and int(found.group(2)) == members and reached():
                return now - since
            if now - since > seconds:
                return None
            time.sleep(0.1)

    def thrown_out(self):
        return [line for line in self._lines() if THROWN_OUT.search(line)]
