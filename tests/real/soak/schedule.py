"""Which disturbance comes when: all from the seed, several at a time, but never two of the same thing."""
import time

from . import on_brokers, on_nodes
from .on_nodes import DAY, FORWARD_LIMIT, HOUR, ONCE, POINTS, YEAR

AT_ONCE = 3
AHEAD = 6                                       # kinds that are looked at, when the first can't begin yet
PAUSE = (0.3, 4)                                # seconds between two begins
KAFKA, MQTT = ('kafka1', 'kafka2'), ('mqtt1', 'mqtt2')
# kind: how often among all. Of each there is one before any second one.
SHARES = {'kill': 5, 'kill in recovery': 2, 'fault point': 7, 'freeze': 4, 'full disk': 3, 'clock': 3, 'kill Kafka': 2, 'restart Kafka': 1, 'freeze Kafka': 2,
          'kill mosquitto': 1, 'restart mosquitto': 1, 'freeze mosquitto': 2, 'cut': 5, 'slow': 4, 'move': 3, 'more partitions': 1}
ALONE = {'move', 'more partitions'}
MOST_PARTITIONS = 24


class Disturbance:
    def __init__(self, kind, text, touches, steps):
        self.kind, self.text, self.touches, self.steps = kind, text, touches, steps
        self.wake = self.begun = 0.0


class Schedule:
    def __init__(self, world):
        self.world, self.chance = world, world.chance
        self.active, self.deck, self.is_dealt = [], [], False
        self.counts = {}

    def _deal(self):
        """More kinds than will be looked at: first one of each, then by their shares."""
        while len(self.deck) < AHEAD:
            more = [k for k, n in SHARES.items() for _ in range(n if self.is_dealt else 1)]
            self.chance.shuffle(more)
            self.deck += more
            self.is_dealt = True

    def _node(self, kind):
        """What befalls one of the nodes -> Disturbance"""
        world, chance = self.world, self.chance
        node = chance.choice(world.nodes)
        touches = {node.name}
        if kind == 'kill':
            text, steps = '', on_nodes.kill(world, node)
        elif kind == 'kill in recovery':
            text, steps = '', on_nodes.kill_again(world, node)
        elif kind == 'fault point':
            point = chance.choice(POINTS)
            arrival = 1 if point in ONCE else chance.randrange(1, 4) if '.' in point else chance.randrange(1, 30)
            frozen = chance.random() < 0.3
            text, steps = ' %s:%d%s' % (point, arrival, ', stopped' if frozen else ''), on_nodes.fault_point(world, node, point, arrival, frozen)
        elif kind == 'freeze':
            text, steps = '', on_nodes.freeze(world, node)
        elif kind == 'full disk':
            leave, killed = chance.choice((0, chance.randrange(1 << 18), 1 << 20)), chance.random() < 0.3
            text, steps = ' %d bytes left%s' % (leave, ', killed' if killed else ''), on_nodes.full_disk(world, node, leave, killed)
        elif kind == 'clock':
            step = chance.choice((chance.uniform(1, HOUR), chance.uniform(HOUR, 6 * HOUR), -chance.uniform(6, HOUR), -chance.uniform(HOUR, DAY),
                                  -time.time() + DAY, 2 * YEAR))
            if 0 < step < DAY and node.ahead_s + step > FORWARD_LIMIT:
                step = -step
            text, steps, touches = ' %+d s' % step, on_nodes.clock(world, node, step), {'clock of ' + node.name}
        else:
            text, steps = '', on_nodes.leave_and_return(world, node)
        return Disturbance(kind, '%s, %s%s' % (kind, node.name, text), touches, steps)

    def _way(self, kind):
        """Cuts and delays -> Disturbance"""
        chance = self.chance
        names = chance.choice(((KAFKA[0],), (KAFKA[1],), KAFKA, (MQTT[0],), (MQTT[1],), KAFKA + MQTT))
        how = chance.choice(('refused', 'silent', 'reset') if kind == 'cut' else ('latency', 'bandwidth', 'slicer'))
        steps = (on_brokers.cut if kind == 'cut' else on_brokers.slow)(self.world, names, how)
        return Disturbance(kind, '%s, %s %s' % (kind, ' '.join(names), how), {'way to ' + n for n in names}, steps)

    def make(self, kind):
        world = self.world
        if kind in ('cut', 'slow'):
            return self._way(kind)
        if kind.endswith('Kafka'):
            broker = self.chance.randrange(1, 3)
            steps = {'kill': on_brokers.kill_kafka, 'restart': on_brokers.restart_kafka, 'freeze': on_brokers.freeze_kafka}[kind.split()[0]](world, broker)
            return Disturbance(kind, '%s, broker %d' % (kind, broker), {'kafka'}, steps)
        if kind == 'kill mosquitto':
            touches = {'mosquitto', *(x + y for x in ('', 'clock of ') for y in ('node1', 'node2')), *('way to ' + n for n in MQTT)}
            return Disturbance(kind, kind, touches, on_brokers.kill_mosquitto(world))
        if kind.endswith('mosquitto'):
            steps = {'restart': on_brokers.restart_mosquitto, 'freeze': on_brokers.freeze_mosquitto}[kind.split()[0]](world)
            return Disturbance(kind, kind, {'mosquitto'}, steps)
        if kind == 'more partitions':
            if world.partitions >= MOST_PARTITIONS:
                return self.make('move')
            return Disturbance(kind, kind, set(), on_nodes.more_partitions(world))
        return self._node(kind)

    def _begin(self, d):
        self.world.report.say('%s' % d.text)
        self.counts[d.kind] = self.counts.get(d.kind, 0) + 1
        d.begun = time.monotonic()
        self.active.append(d)

    def _may_begin(self, d):
        if d.kind in ALONE or any(a.kind in ALONE for a in self.active):
            return not self.active
        return len(self.active) < AT_ONCE and not any(d.touches & a.touches for a in self.active)

    def _begin_one(self):
        self._deal()
        for at, kind in enumerate(self.deck[:AHEAD]):
            d = self.make(kind)
            if self._may_begin(d):
                del self.deck[at]
                self._begin(d)
                return True
            if kind in ALONE:                   # all of the others wait for it
                return False
        return False

    def step(self):
        """Lets those go on that want to."""
        now = time.monotonic()
        for d in [d for d in self.active if d.wake <= now]:
            try:
                pause = next(d.steps)
                d.wake = time.monotonic() + (pause or 0)
            except StopIteration:
                self.active.remove(d)
                self.world.report.say('  healed after %.1f s: %s' % (time.monotonic() - d.begun, d.text))

    def run(self, seconds):
        """Disturbs for that long, and ends when all is healed."""
        end, next_begin = time.monotonic() + seconds, time.monotonic()
        while time.monotonic() < end or self.active:
            self.world.tick()
            self.step()
            now = time.monotonic()
            if now >= next_begin and now < end:
                if self._begin_one():
                    next_begin = now + self.chance.uniform(*PAUSE)
            time.sleep(0.05)
