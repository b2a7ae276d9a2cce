"""A producer that never ends: unique rows, sent in the background over the whole test."""
import workload

from .compare import Export
from .scope import ProgramFailed


class Stream:
    """keep_going() now and then; finish() at the end; expected() is all that was sent."""

    def __init__(self, kafka, topic, partitions, seed, months, rate):
        """rate: messages a second."""
        self.kafka, self.topic, self.partitions, self.seed, self.months, self.rate = kafka, topic, partitions, seed, months, rate
        self.rows, self.count, self.running = {}, 0, None

    def add(self, messages):
        """Makes that many messages more and starts to produce them."""
        self.finish()
        made, rows = workload.unique_messages(self.seed + self.count, messages, self.months, self.partitions, first=self.count)
        self.count += messages
        for key, r in rows.items():
            self.rows.setdefault(key, []).extend(r)
        self.running = self.kafka.produce_in_background(self.topic, self.kafka.write(made), rate=self.rate)

    def finish(self, timeout=120):
        if self.running is not None and self.running.wait(timeout) != 0:
            raise ProgramFailed('the producer failed:\n' + self.running.output())

    def keep_going(self):
        if self.running is None or not self.running.running():
            self.add(self.rate * 10)

    def expected(self):
        return Export.of_rows(self.rows)
