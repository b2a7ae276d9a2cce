"""A stream of unique rows into a topic, produced in the background over a whole test."""
import workload

from .compare import Export
from .scope import ProgramFailed

TOPIC, GROUP, PARTITIONS = 'stream', 'varve-stream', 3
RATE = 40                                       # messages a second


class Stream:
    """Unique rows, produced in the background over the whole test."""

    def __init__(self, scope, kafka, seed, months):
        self.scope, self.kafka, self.seed, self.months = scope, kafka, seed, months
        self.rows, self.count, self.running = {}, 0, None

    def add(self, messages):
        """Makes that many messages more and starts to produce them."""
        self.finish()
        made, rows = workload.unique_messages(self.seed + self.count, messages, self.months, PARTITIONS, first=self.count)
        self.count += messages
        for key, r in rows.items():
            self.rows.setdefault(key, []).extend(r)
        self.running = self.kafka.produce_in_background(TOPIC, self.kafka.write(made), rate=RATE)

    def finish(self, timeout=120):
        if self.running is not None and self.running.wait(timeout) != 0:
            raise ProgramFailed('the producer failed:\n' + self.running.output())

    def keep_going(self):
        if self.running is None or not self.running.running():
            self.add(RATE * 10)

    def expected(self):
        return Export.of_rows(self.rows)
