"""What befalls a node: kills, fault points, freezes, a full disk, a clock that is stepped, moves to and from the other.

Each is a generator: it yields the seconds until it wants to go on, and ends when all is healed again.
"""
import time

from harness.scope import ProgramFailed

from .node import SESSION_MS

POINTS = ('commit.before_record', 'commit.recorded', 'commit.published', 'commit.acknowledged', 'publish.parts_json', 'publish.index', 'index.built',
          'kafka_before_acknowledge', 'spool_before_write', 'spool_written', 'spool_synced', 'spool_trimmed', 'mqtt_puback_sent', 'mqtt_pubacks_sent',
          'mqtt_handed_over', 'mqtt_delivered', 'mqtt_before_trim', 'mqtt_connected', 'mqtt_subscribed', 'merge.begun', 'merge.built', 'merge.synced',
          'merge.listed', 'merge.done', 'merge.source_removed', 'stale.unlisted', 'snapshot.part', 'snapshot.made', 'recover.moved', 'recover.listed',
          'recover.checkpoint')
ONCE = ('mqtt_connected', 'mqtt_subscribed', 'recover.moved', 'recover.listed', 'recover.checkpoint')
LOOK = 0.2
HOUR, DAY, YEAR = 3600, 86400, 365 * 86400
FORWARD_LIMIT = 15 * DAY                        # of all steps that stay


def wait(condition, seconds, what):
    """A generator's way to wait."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise ProgramFailed('%s: not within %g s' % (what, seconds))
        yield LOOK


def up(node):
    """Until a launched node is ready."""
    def there():
        if not node.running():
            raise ProgramFailed('%s ended by itself: exit %s\n%s' % (node.name, node.varve.process.exit_code(), node.varve.process.output()[-2000:]))
        return node.is_ready()
    yield from wait(there, 60, '%s is ready' % node.name)


def kill(world, node):
    chance = world.chance
    node.kill()
    yield chance.choice((0, chance.uniform(0, 1), chance.uniform(1, 4)))
    node.launch()
    yield from up(node)


def kill_again(world, node):
    """Killed while it recovers."""
    chance = world.chance
    for _ in range(chance.randrange(2, 4)):
        node.kill()
        node.launch()
        yield chance.uniform(0.02, 0.7)
    yield from kill(world, node)


def fault_point(world, node, point, arrival, frozen):
    """Killed or stopped at the arrival-th time that it comes by a named point; after a while, if it doesn't."""
    chance = world.chance
    node.kill()
    node.launch('%s:%d:%s' % (point, arrival, 'stop' if frozen else 'kill'))

    def there():
        return not node.running() or node.varve.process.state() == 'T'
    try:
        yield from wait(there, 12, point)
    except ProgramFailed:
        pass                                    # a merge that wasn't needed, for example
    else:
        world.counts['fault points reached'] += 1
        if not node.running() and node.varve.process.exit_code() != -9:
            raise ProgramFailed('%s ended with %s at %s\n%s' % (node.name, node.varve.process.exit_code(), point, node.varve.process.output()[-2000:]))
        if frozen:
            yield chance.uniform(0.3, 4)
            if chance.random() < 0.5:
                node.thaw()
                yield chance.uniform(0.5, 3)
    yield from kill(world, node)


def freeze(world, node):
    node.freeze()
    yield world.chance.uniform(0.5, 8)
    node.thaw()
    yield 0.5


def full_disk(world, node, leave, killed):
    chance = world.chance
    node.disk.fill(leave)
    try:
        yield chance.uniform(1, 3)
        node.disk.fill(leave)                   # what went away meanwhile, a merge's sources for example
        if killed:
            node.kill()
            node.launch()
        yield chance.uniform(1, 4)
    finally:
        node.disk.empty()
    yield from up(node)


def clock(world, node, step):
    """Forward by less than a day is plausible, and stays; anything else is doubted until the clock is right again."""
    if 0 < step < DAY:
        node.ahead_s += step
        node.set_clock(node.ahead_s)
        yield 1
        return
    node.set_clock(node.ahead_s + step)
    yield world.chance.uniform(0.5, 5)
    node.set_clock(node.ahead_s)
    yield 1


def leave_and_return(world, node):
    """Stops in good order, which moves its partitions to the other node; then it comes back, and gets its share. In good order is a stop only if
    the node reaches its coordinator: without, it's one that died with the last rows, once its session is over (README.md says so)."""
    chance = world.chance
    other = world.nodes[2 - node.number]
    yield from wait(world.is_well, 90, 'all is well before a move')
    high = world.kafka.high('soak')
    yield from wait(lambda: world.has_committed(high), 60, 'the group has what each node has')
    node.note_memory()
    node.varve.http.close()
    node.varve.process.signal(15)
    yield from wait(lambda: not node.running(), 20, '%s stops' % node.name)
    if node.varve.process.exit_code() != 0:
        raise ProgramFailed('%s stopped with %s\n%s' % (node.name, node.varve.process.exit_code(), node.varve.process.output()[-2000:]))

    def taken_over():
        m = world.metrics(other)
        return m is not None and sum(v for (name, _), v in m.items() if name == 'varve_kafka_partitions_assigned') == world.partitions
    # A coordinator that gives way to another one just now may not have written down that a member has left: the next one waits for it, as long as
    # a session lasts.
    yield from wait(taken_over, SESSION_MS / 1000 + 30, '%s has all partitions' % other.name)
    yield chance.uniform(0.5, 4)
    node.launch()
    yield from up(node)
    yield from wait(world.is_well, 90, 'all is well after a move')


def more_partitions(world):
    """The topic grows, and is divided anew."""
    yield from wait(world.is_well, 90, 'all is well before partitions are added')
    world.partitions += world.chance.randrange(1, 3)
    world.kafka.grow('soak', world.partitions)
    yield from wait(world.is_well, 90, 'the new partitions are taken in')
