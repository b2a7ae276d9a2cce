"""What is produced: rows that are told by their number alone, and the count of those that were found."""
import json

DAY_MS = 86400000
HOSTS = 200
STEP_MS = 5
LAST = 16_000_000                               # a source's rows keep within their day
SOURCES = {'k': 'Kafka', 'm': 'MQTT'}


class Rows:
    """Row n of a source: its series, time and value are of no other row. months: starts (s) of two months."""

    def __init__(self, months):
        self.months = months

    def place(self, n):
        """-> (host, shift, time in ms, value). Each eighth host becomes a new series now and then, and the index gets new rows."""
        host = n % HOSTS
        when = self.months[host & 1] * 1000 + (host // 2 % 25) * DAY_MS + 30000 + n * STEP_MS
        return host, n // 20000 if host % 8 == 0 else 0, when, n + 0.5 if host % 3 == 0 else float(n)

    def line(self, source, n):
        host, shift, when, value = self.place(n)
        return 'soak,src=%s,host=h%d,shift=s%d v=%s %d000000' % (source, host, shift, value, when)

    def read(self, line):
        """A line of an export -> (source, numbers of its rows, what belongs to none)"""
        o = json.loads(line)
        metric = o['metric']
        source, numbers, foreign = metric.get('src'), [], []
        for when, value in zip(o['timestamps'], o['values']):
            n = int(value) if isinstance(value, (int, float)) and 0 <= value < LAST else 0
            host, shift, true_time, true_value = self.place(n)
            if when != true_time or value != true_value or source not in SOURCES or \
                    metric != {'__name__': 'soak_v', 'src': source, 'host': 'h%d' % host, 'shift': 's%d' % shift}:
                foreign.append((str(metric), when, value))
            else:
                numbers.append(n)
        return source, numbers, foreign


class Tally:
    """How often each row was found."""

    def __init__(self, rows):
        self.rows, self.times, self.foreign = rows, {s: bytearray() for s in SOURCES}, []

    def add(self, lines):
        """-> the number of rows in them"""
        count = 0
        for line in lines:
            if not line.strip():
                continue
            source, numbers, foreign = self.rows.read(line)
            self.foreign += foreign
            count += len(numbers) + len(foreign)
            if not numbers:
                continue
            times = self.times[source]
            if len(times) <= max(numbers):
                times.extend(bytes(max(numbers) + 1 - len(times)))
            for n in numbers:
                times[n] = min(times[n] + 1, 255)
        return count

    def missing(self, source, made, uncertain):
        """Numbers below `made` that weren't found, and aren't among the uncertain."""
        times = self.times[source]
        gaps = [n for n in range(min(made, len(times))) if not times[n]] if 0 in times[:made] else []
        return [n for n in gaps + list(range(len(times), made)) if n not in uncertain]

    def doubled(self, source):
        times = self.times[source]
        return {n: c - 1 for n, c in enumerate(times) if c > 1} if max(times, default=0) > 1 else {}

    def beyond(self, source, made):
        """Rows that were found and never made."""
        return [n for n in range(made, len(self.times[source])) if self.times[source][n]]
