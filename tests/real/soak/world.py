"""The soak's surroundings: Kafka and mosquitto behind a proxy, two nodes, the load, and whether all is well."""
import collections
import http.client
import os
import threading
import time

from harness.kafka_cluster import KafkaCluster, free_ports
from harness.mqtt import Mqtt
from harness.scope import ProgramFailed, free_port, wait_until
from harness.toxiproxy import Toxiproxy

from .load import GROUP, TOPIC, KafkaLoad, MqttLoad
from .node import Node
from .rows import Rows

PARTITIONS = 6
BROKERS = 2
KAFKA_SHARE = 0.7                               # of the samples
LIBRARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'clock_step.c')


class World:
    def __init__(self, scope, report, chance, months, options):
        self.scope, self.report, self.chance = scope, report, chance
        self.partitions, self.counts = PARTITIONS, collections.Counter()
        self.rows = Rows(months)
        self.clock_library = scope.path('clock_step.so')
        scope.run([os.environ.get('CC', 'cc'), '-shared', '-fPIC', '-O2', '-o', self.clock_library, LIBRARY, '-ldl'])
        self.proxy = Toxiproxy(scope)
        proxied, advertised = free_ports(BROKERS), free_ports(BROKERS)
        self.kafka = KafkaCluster(scope, BROKERS, proxied, advertised)
        for n in range(BROKERS):
            self.proxy.proxy('kafka%d' % (n + 1), advertised + n, proxied + n)
        self.kafka_addresses = ['127.0.0.1:%d' % (advertised + n) for n in range(BROKERS)]
        self.mqtt = Mqtt(scope, persist=True, save='second')
        self.mqtt_ports = {}
        for n in (1, 2):
            self.mqtt_ports[n] = free_port()
            self.proxy.proxy('mqtt%d' % n, self.mqtt_ports[n], self.mqtt.port)
        self.nodes = [Node(self, n, options) for n in (1, 2)]
        self.kafka_load = KafkaLoad(self.kafka, self.rows, options.rate * KAFKA_SHARE)
        self.mqtt_load = MqttLoad(self.mqtt, self.rows, options.rate * (1 - KAFKA_SHARE))

    def start(self):
        broker = threading.Thread(target=self.mqtt.start)
        broker.start()
        self.kafka.start()
        broker.join()
        self.kafka.create(TOPIC, self.partitions, min_insync_replicas=1)
        for node in self.nodes:
            node.launch()
        wait_until(lambda: all(n.is_ready() for n in self.nodes), 120, 'both nodes are ready')
        self.kafka_load.keep_going()
        wait_until(self.is_well, 120, 'both nodes have their partitions and sessions', 0.3)
        self.mqtt_load.start()
        wait_until(self.counts_up, 30, 'the broker is seen to count packet ids up')
        time.sleep(2)                           # the nodes keep that in a file

    def tick(self):
        self.kafka_load.keep_going()
        if self.mqtt_load.fails():
            raise ProgramFailed('the MQTT publisher failed:\n' + self.mqtt_load.publisher.process.output()[-1000:])

    def metrics(self, node):
        """None when it doesn't answer."""
        try:
            return node.varve.metrics()
        except (OSError, http.client.HTTPException, ProgramFailed):
            node.varve.http.close()
            return None

    def counts_up(self):
        """Whether each node has seen that the broker counts packet ids up: it can then tell what comes again."""
        found = [self.metrics(n) for n in self.nodes]
        return None not in found and all(total(m, 'varve_mqtt_packet_ids_count_up') == 1 for m in found)

    def assigned(self):
        """Partitions by node, None if one doesn't answer."""
        found = []
        for node in self.nodes:
            m = self.metrics(node) if node.running() else None
            if m is None:
                return None
            found.append(int(total(m, 'varve_kafka_partitions_assigned')))
        return found

    def is_well(self):
        """Both nodes take in what comes, and the group is at rest."""
        for node in self.nodes:
            m = self.metrics(node) if node.is_ready() else None
            if m is None or total(m, 'varve_mqtt_connected') != 1 or total(m, 'varve_intake_paused') or not total(m, 'varve_kafka_partitions_assigned'):
                return False
        share = self.assigned()
        return share is not None and sum(share) == self.partitions and self.backlog() < 20 * self.kafka_load.rate / 14

    def has_committed(self, high):
        """Whether the group has these offsets, so that each node has reached its coordinator since they were asked for."""
        committed = self.kafka.committed(GROUP, TOPIC)
        return all(max(0, committed.get(p, 0)) >= h for p, h in high.items())

    def backlog(self):
        """Records of the topic that the group has not yet committed."""
        high, committed = self.kafka.high(TOPIC), self.kafka.committed(GROUP, TOPIC)
        return sum(h - max(0, committed.get(p, 0)) for p, h in high.items())


def total(metrics, name):
    return sum(v for (n, _), v in metrics.items() if n == name)
