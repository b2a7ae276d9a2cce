"""The two nodes of pressure.py, each with its store on a small file system that hangs when told to, and what they read."""
import os
import time

import pressure_load
import workload
from harness import mqtt as mqtts
from harness import stock as stocks
from harness.compare import Export
from harness.scope import wait_until
from harness.small_disk import SmallDisk
from harness.stall import Stall
from harness.varve import Varve, sink

PARTITIONS = 6
SESSION_MS, KEEPALIVE_S = 6000, 5
POLL_MS = 16000                                 # max.poll.interval.ms: a revoke's 13 s fit in, a hang of longer doesn't
DISK_MIB = 192
MEMORY_LIMIT = '64MiB'                          # the least; what the Kafka sink's queue leaves, a quarter, is for rows that wait


class World:
    """Two nodes, stopped at first, with what they read from and write to. name: of the nodes, the topic and the group."""

    def __init__(self, scope, options, kafka, broker, assignor, name):
        self.scope, self.kafka, self.broker, self.seed, self.months = scope, kafka, broker, options.seed, workload.months_from(time.time())
        self.name, self.topic, self.group, self.partitions = name, 'shared-' + name, 'nodes-' + name, PARTITIONS
        kafka.create(self.topic, PARTITIONS)
        self.disks, self.stalls, self.nodes, self.mqtt_sources, self.floods = {}, {}, [], {}, []
        properties = {'session.timeout.ms': str(SESSION_MS), 'heartbeat.interval.ms': '1000', 'max.poll.interval.ms': str(POLL_MS),
                      'partition.assignment.strategy': assignor, 'topic.metadata.refresh.interval.ms': '1000'}
        for number in (1, 2):
            node = '%s%d' % (name, number)
            self.disks[node] = SmallDisk(scope, 'tmpfs', DISK_MIB, name='disk-' + node)
            store = os.path.join(self.disks[node].dir, 'store')
            self.stalls[node] = Stall(scope, node, store)
            edge = mqtts.sink(broker, [mqtts.subscription(node + '/flood/+', 'jsonline'), mqtts.subscription(node + '/+')], client_id=node,
                              keepalive='%ds' % KEEPALIVE_S, max_packet_size='256KiB')
            plant = sink(kafka.brokers, self.topic, self.group, leave_on_stop=True, queue_size='48MiB', librdkafka=properties)
            varve = Varve(scope, options.build, store, [plant, edge], name=node, node=node, storage={'flush_interval': '300ms', 'min_free_disk': '1MiB'})
            varve.env, varve.http.timeout = self.stalls[node].env, 15
            self.nodes.append(varve)
            self.mqtt_sources[node] = pressure_load.MqttSource(broker, node, self.months)
            self.configure(varve, 'stall')
        self.kafka_source = pressure_load.KafkaSource(kafka, self.topic, PARTITIONS, options.seed, self.months)
        self.load = pressure_load.Load([self.kafka_source, *self.mqtt_sources.values()])

    def configure(self, node, kind):
        """What the pressure asks of the node's configuration; True if that's another."""
        edge, storage = node.config['sinks'][1], node.config['storage']
        before = dict(edge), dict(storage)
        edge['spool'] = {'max_size': '1MiB' if kind == 'spool' else '64MiB'}
        edge['receive_maximum'] = 200
        storage['memory_limit'] = MEMORY_LIMIT if kind == 'memory' else '4GiB'
        return before != (edge, storage)

    def prepare(self, node, kind):
        """What takes a second, before the pressure begins."""
        if kind == 'memory':
            self.floods.append(pressure_load.Flood(self.broker, node.name, len(self.floods), self.seed, self.months))

    def start(self):
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            wait_until(lambda n=node: n.http.answers('/ready'), 60, node.name + ' is ready')
            mqtts.wait_connected(node)
        self.load.start()
        self.wait_shared()

    def assigned(self, node):
        return int(node.metric('varve_kafka_partitions_assigned')) if node.process is not None and node.process.running() else 0

    def wait_shared(self, timeout=30):
        """Until each running node has its share, and is at work."""
        running = [n for n in self.nodes if n.process is not None and n.process.running()]

        def shared():
            self.load.check()
            have = [self.assigned(n) for n in running]
            return sum(have) == self.partitions and max(have) - min(have) <= 1
        wait_until(shared, timeout, 'the partitions are shared', 0.1)
        for n in running:
            wait_until(lambda n=n: n.metric('varve_mqtt_connected') == 1, timeout, n.name + ' is connected', 0.1)

    def end(self):
        """Stops producing, waits until all of it is durable, stops the nodes -> what the stores must hold."""
        self.load.stop()
        for flood in self.floods:
            flood.finish()
        for node in self.nodes:
            want = self.mqtt_sources[node.name].count()
            wait_until(lambda n=node, w=want: self.mqtt_rows(n) >= w, 60, '%s has taken in its %d MQTT messages' % (node.name, want), 0.2)
        self.nodes[0].wait_durable(self.kafka, self.group, self.topic, 60)
        rows = dict(self.kafka_source.rows)
        for s in [*self.mqtt_sources.values(), *self.floods]:
            rows.update(s.rows)
        return Export.of_rows(rows)

    def mqtt_rows(self, node):
        found = Export(node.http.get('/api/v1/export', [('match[]', 'mq_v'), *stocks.FAR]).splitlines())
        return found.rows

    def spool_bytes(self, node):
        return int(node.config['sinks'][1]['spool']['max_size'].rstrip('MiB')) << 20
