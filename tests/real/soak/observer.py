"""Looks at a node all the time, as its users do: metrics, queries, snapshots, forced merges. What it's answered must be true at any moment."""
import collections
import http.client
import random
import subprocess
import threading
import time

from harness.http import Client
from harness.scope import ProgramFailed
from harness.varve import metrics

from .rows import HOSTS, STEP_MS
from .world import total

PAUSE = 0.7
WATCHED = ('varve_rows_dropped_total', 'varve_rejected_total', 'varve_kafka_missed_records_total', 'varve_mqtt_sessions_lost_total',
           'varve_spool_damaged_messages_total', 'varve_mqtt_unmatched_messages_total')
INTEREST = ('varve_mqtt_redelivered_messages_total', 'varve_mqtt_ambiguous_redelivery_total', 'varve_kafka_stale_records_total', 'varve_commits_total',
            'varve_merges_total', 'varve_spool_discarded_messages_total')


class LagWatch:
    """The largest number of records that the topic was ahead of the group."""

    def __init__(self, world):
        self.world, self.peak, self.ending = world, 0, False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def stop(self):
        self.ending = True
        self.thread.join(60)

    def _run(self):
        while not self.ending:
            try:
                self.peak = max(self.peak, self.world.backlog())
            except (ProgramFailed, subprocess.TimeoutExpired):
                pass                            # no broker answers
            time.sleep(2)


class Observer:
    def __init__(self, world, node, seed):
        self.world, self.node, self.chance = world, node, random.Random(seed)
        self.done, self.wrong = collections.Counter(), []
        self.totals, self.last, self.process = collections.Counter(), {}, None
        self.ending = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def stop(self):
        self.ending = True
        self.thread.join(30)

    def _run(self):
        while not self.ending:
            varve = self.node.varve
            if varve.process is not None and varve.process.running():
                client = Client(varve.port, timeout=10)
                for name, share, what in (('metrics', 1, self._metrics), ('query', 0.7, self._query), ('snapshot', 0.05, self._snapshot),
                                          ('forced merge', 0.04, self._merge), ('forced flush', 0.05, self._flush)):
                    if self.chance.random() < share and not self.ending:
                        self._ask(name, what, client)
                client.close()
            time.sleep(PAUSE)

    def _ask(self, name, what, client):
        try:
            what(client)
            self.done[name] += 1
        except ProgramFailed as e:                          # an answer, but not 2xx
            self.done['%s: %s' % (name, str(e).split(': ', 1)[-1][:60])] += 1
        except (OSError, http.client.HTTPException):        # killed, stopped, not up yet
            self.done[name + ' unanswered'] += 1
            client.close()

    def _metrics(self, client):
        found, process = metrics(client.get('/metrics').decode()), self.node.varve.process
        self.node.note_memory()
        if process is not self.process:
            self.process, self.last = process, {}
        for name in WATCHED + INTEREST:
            value = total(found, name)
            self.totals[name] += max(0, value - self.last.get(name, 0))
            self.last[name] = value

    def _query(self, client):
        """The rows of one host, of the last minutes: each is one that was made, and there once."""
        rows, made = self.world.rows, self.world.kafka_load.made
        n = self.chance.randrange(max(1, made - 60000), made + 1)
        host = n % HOSTS
        start = rows.place(n - n % HOSTS + host)[2] // 1000
        answer = client.get('/api/v1/export', [('match[]', '{__name__="soak_v",host="h%d"}' % host), ('start', start - 100 * STEP_MS), ('end', start + 100)])
        seen = collections.Counter()
        for line in answer.splitlines():
            source, numbers, foreign = rows.read(line)
            seen.update((source, x) for x in numbers)
            self.wrong += ['foreign in a query: %s' % (f,) for f in foreign[:3]]
        self.wrong += ['row %s twice in a query' % (x,) for x, c in seen.items() if c > 1 and not self._may_repeat(x)][:3]

    def _may_repeat(self, row):
        source, n = row
        return source == 'm' and any(begin <= n < end for begin, end in [*self.world.mqtt_load.uncertain, self._now()])

    def _now(self):
        """What would be uncertain if the mosquitto had just been killed."""
        load = self.world.mqtt_load
        return load.made_at(time.monotonic() - 30), load.made + 1

    def _snapshot(self, client):
        name = client.json('/snapshot/create')['snapshot']
        client.get('/snapshot/delete', {'snapshot': name})

    def _merge(self, client):
        client.get('/internal/force_merge')

    def _flush(self, client):
        client.get('/internal/force_flush')
