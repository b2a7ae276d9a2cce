"""What kill.py has to find: builds with fault points whose FAULT_SWITCH makes them wrong in one way each.

All of them read the same topic, each with a group and a store of its own, and are killed at once, some times over.
"""
from harness.numbered import PARTITIONS, Judgement, Stream
from harness.scope import ProgramFailed, wait_until
from harness.varve import Varve, sink

TOPIC, RATE, KILLS = 'proof', 20000, 3

# Name of the switch -> (what is found of it, where it's killed, what it does)
SWITCHES = {
    'kafka_early_ack': ('ahead', 'commit.before_record', 'commits offsets to the group before they are durable'),
    'commit_positions_early': ('missing', 'commit.rows_staged', 'records positions before their rows'),
    'commit_position_ahead': ('missing', 'commit.published', 'records positions a message too far'),
    'kafka_checked_twice': ('extra', 'commit.published', 'applies the last message twice that is read again to be compared'),
    'recover_positions_late': ('extra', 'commit.recorded', 'applies the last record\'s rows, and reads them again'),
}


class Wrong:
    """A Varve that is wrong in one way."""

    def __init__(self, scope, build, kafka, name):
        self.name, self.group = name, 'varve-' + name
        self.finding, self.point, self.does = SWITCHES[name]
        self.varve = Varve(scope, build, scope.path(name), [sink(kafka.brokers, TOPIC, self.group)], name=name, storage={'flush_interval': '200ms'})
        self.ahead = 0                          # most records that the group was ahead of the directory

    def launch(self, arrival):
        self.varve.launch(env={'VARVE_FAULT_SWITCH': self.name, 'VARVE_FAULT_POINT': '%s:%d:kill' % (self.point, arrival)})

    def ended(self):
        return not self.varve.process.running()

    def look(self, kafka):
        code = self.varve.process.exit_code()
        if code != -9:
            raise ProgramFailed('%s: killed at %s it ended with %s\n%s' % (self.name, self.point, code, self.varve.process.output()[-1500:]))
        committed, positions = kafka.committed(self.group, TOPIC), self.varve.positions(TOPIC)
        self.ahead = max([self.ahead] + [offset - positions.get(p, 0) for p, offset in committed.items()])

    def judge(self, report, kafka, positions, months):
        self.varve.wait_durable(kafka, self.group, TOPIC)
        self.varve.stop()
        judgement = Judgement(self.varve.export_lines(), positions, months)
        seen = {kind for kind, found in (('ahead', self.ahead > 0), ('missing', judgement.missing), ('extra', judgement.extra)) if found}
        report.check(seen == {self.finding}, 'one that %s is found: %s, offsets ahead by %d (%s)' % (self.does, judgement, self.ahead, self.name),
                     lambda: 'expected %s only\n%s' % (self.finding, '\n'.join(judgement.examples)))


def prove(report, scope, build, kafka, months, chance):
    kafka.create(TOPIC, PARTITIONS)
    stream = Stream(kafka, TOPIC, months, RATE)
    wrong = [Wrong(scope, build, kafka, name) for name in SWITCHES]
    for _ in range(KILLS):
        for w in wrong:
            w.launch(chance.randrange(4, 8))

        def all_ended():
            stream.reached(stream.samples + RATE / 10)
            return all(w.ended() for w in wrong)
        wait_until(all_ended, 30, 'each wrong build is at its fault point')
        for w in wrong:
            w.look(kafka)
    for w in wrong:
        w.varve.launch(env={'VARVE_FAULT_SWITCH': w.name})
    messages = stream.finish()
    positions = {p: len(range(p, messages, PARTITIONS)) for p in range(PARTITIONS)}
    for w in wrong:
        w.judge(report, kafka, positions, months)
