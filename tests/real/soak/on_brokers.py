"""What befalls the brokers and the way to them. Generators, as in on_nodes.py."""
import time

from harness.scope import ProgramFailed

from .load import SAVE_WINDOW
from .on_nodes import wait
from .world import total

SETTLED = 300                                   # messages: the first new one shows an id that was used before, if any does


def _run(world, command, broker):
    script = world.kafka.script(command, broker)
    yield from wait(lambda: not script.running(), 150, '%s of Kafka broker %d' % (command, broker))
    if script.exit_code() != 0:
        raise ProgramFailed('%s of Kafka broker %d:\n%s' % (command, broker, script.output()[-2000:]))


def kill_kafka(world, broker):
    yield from _run(world, 'kill', broker)
    yield world.chance.uniform(0.2, 6)
    yield from _run(world, 'start-node', broker)
    yield 2


def restart_kafka(world, broker):
    """In good order."""
    yield from _run(world, 'stop-node', broker)
    yield world.chance.uniform(0.2, 4)
    yield from _run(world, 'start-node', broker)
    yield 2


def freeze_kafka(world, broker):
    world.kafka.freeze(broker)
    yield world.chance.uniform(0.5, 9)
    world.kafka.thaw(broker)
    yield 2


def kill_mosquitto(world):
    """It saves each second, so that it loses what came last, and brings again what was acknowledged last: those messages are counted apart. Nothing
    else befell what is connected to it for a while, so that these are known. It also gives out the packet ids of its last seconds once more, to
    other messages. As far as a node knows, it may be a broker that takes free ids, until it was seen to count up again: a node that is killed
    before would store twice what it had (config/mqtt.md says so)."""
    chance, load = world.chance, world.mqtt_load
    yield SAVE_WINDOW + chance.uniform(0, 1)
    died = time.monotonic()
    world.mqtt.kill()
    load.lose(died)
    yield chance.uniform(0, 3)
    world.mqtt.restart()
    load.start()
    connected = {}                              # node: messages received by then

    def settled():
        for node in world.nodes:
            m = world.metrics(node)
            if m is None or total(m, 'varve_mqtt_connected') != 1:
                connected.pop(node.name, None)
                return False
            received = total(m, 'varve_mqtt_received_messages_total')
            if received < connected.setdefault(node.name, received) + SETTLED or total(m, 'varve_mqtt_packet_ids_count_up') != 1:
                return False
        return True
    yield from wait(settled, 60, 'the broker is seen again to count packet ids up')
    yield 0.5                                   # the nodes keep that in a file


def restart_mosquitto(world):
    """In good order, with messages on their way to Varve; what is published waits."""
    world.mqtt_load.pause()
    world.mqtt.stop()
    yield world.chance.uniform(0, 3)
    world.mqtt.restart()
    world.mqtt_load.start()
    yield 1


def freeze_mosquitto(world):
    world.mqtt.signal(19)
    yield world.chance.uniform(0.5, 8)
    world.mqtt.signal(18)
    yield 1


def cut(world, names, kind):
    """kind: refused | silent (nothing comes through, and nobody is told) | reset"""
    for name in names:
        if kind == 'refused':
            world.proxy.down(name)
        else:
            world.proxy.toxic(name, 'timeout' if kind == 'silent' else 'reset_peer', timeout=0)
    yield world.chance.uniform(0.5, 8)
    for name in names:
        if kind == 'refused':
            world.proxy.up(name)
        else:
            world.proxy.clear(name)
    yield 0.5


def slow(world, names, kind):
    """kind: latency | bandwidth | slicer (packets in small pieces)"""
    chance = world.chance
    for name in names:
        if kind == 'latency':
            delay = chance.randrange(20, 900)
            world.proxy.toxic(name, 'latency', latency=delay, jitter=delay // 3)
        elif kind == 'bandwidth':
            world.proxy.toxic(name, 'bandwidth', rate=chance.randrange(20, 200))
        else:
            world.proxy.toxic(name, 'slicer', average_size=64, size_variation=32, delay=200)
    yield chance.uniform(2, 10)
    for name in names:
        world.proxy.clear(name)
    yield 0.5
