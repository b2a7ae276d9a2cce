#!/usr/bin/env python3
"""TLS and credentials with real brokers: mosquitto and Kafka, each with several listeners, and one Varve with a sink for each.

    tls.py --build DIR

Another host's certificate, an expired one and one of an unknown CA are refused: the log says which and what to do, with the sink and the
broker; nothing of these sinks is stored, and the others go on. The right CA connects, with client certificates, user names and websockets
as well. `varve check --connect` says the same of each sink, and a verification that the configuration turns off is refused.
"""
import argparse
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import mqtt
from harness import report as reports
from harness.certificates import Authority
from harness.kafka import Kafka
from harness.scope import Scope, TimedOut, free_port, wait_until
from harness.varve import Varve
from harness.varve import yaml as as_yaml

TOPIC, USER, PASSWORD = 'tls', 'test', 'test-secret'
NOBODY = 'nobody.example'                       # whose certificate the wrong host has
MESSAGES = 50


class World:
    """What the brokers have: certificates, and a port for each kind of listener."""

    def __init__(self, scope):
        self.ours, self.strange = Authority(scope, scope.path('ca')), Authority(scope, scope.path('strange'), 'Strange CA')
        self.good, self.client = self.ours.issue('good'), self.ours.issue('client', ['DNS:client'])
        self.wrong_host = self.ours.issue('wronghost', ['DNS:' + NOBODY, 'IP:192.0.2.1'])
        self.expired = self.ours.issue('expired', days=-1)
        self.unknown = self.strange.issue('unknown')
        self.stranger = self.strange.issue('stranger', ['DNS:stranger'])        # a client that the brokers don't know
        self.servers = {'good': self.good, 'wronghost': self.wrong_host, 'expired': self.expired, 'unknown': self.unknown, 'mutual': self.good}


def start_mosquitto(scope, world):
    """-> (broker, {listener: port})"""
    ports = {name: free_port() for name in [*world.servers, 'wss']}
    auth, ws = free_port(), free_port()
    options = ['--auth-port', str(auth), '--ws-port', str(ws), '--user', '%s:%s' % (USER, PASSWORD)]

    def add(*lines):
        for line in lines:
            options.extend(['--set', line])
    for name, port in ports.items():
        cert, key = world.servers.get(name, world.good)
        add('listener %d 127.0.0.1' % port, 'certfile ' + cert, 'keyfile ' + key, 'allow_anonymous true')
        if name == 'mutual':
            add('cafile ' + world.ours.ca, 'require_certificate true', 'use_identity_as_username true')
        if name == 'wss':
            add('protocol websockets')
    return mqtt.Mqtt(scope, options=options).start(), {**ports, 'auth': auth, 'ws': ws}


def start_kafka(scope, world):
    """-> (Kafka, {listener: port})"""
    ports = {name: free_port() for name in [*world.servers, 'sasl']}
    kafka = Kafka(scope)
    listeners = ['PLAINTEXT://127.0.0.1:%d' % kafka.port] + ['%s://127.0.0.1:%d' % (name.upper(), port) for name, port in ports.items()]
    protocols = ['CONTROLLER:PLAINTEXT', 'PLAINTEXT:PLAINTEXT'] + ['%s:%s' % (n.upper(), 'SASL_SSL' if n == 'sasl' else 'SSL') for n in ports]
    settings = {'listeners': ','.join(listeners + ['CONTROLLER://127.0.0.1:%d' % kafka.ctl_port]), 'advertised.listeners': ','.join(listeners),
                'listener.security.protocol.map': ','.join(protocols), 'sasl.enabled.mechanisms': 'PLAIN',
                'listener.name.mutual.ssl.client.auth': 'required', 'listener.name.sasl.plain.sasl.jaas.config':
                    'org.apache.kafka.common.security.plain.PlainLoginModule required user_%s="%s";' % (USER, PASSWORD)}
    for name in ports:
        at = 'listener.name.%s.ssl.' % name
        settings[at + 'keystore.type'] = settings[at + 'truststore.type'] = 'PEM'
        settings[at + 'keystore.location'] = (world.strange if name == 'unknown' else world.ours).keystore(name, *world.servers.get(name, world.good))
        settings[at + 'truststore.location'] = world.ours.ca
    for k, v in settings.items():
        kafka.options += ['--set', '%s=%s' % (k, v)]
    kafka.start()
    kafka.create(TOPIC)
    return kafka, ports


class Case:
    """One sink: connects if log is None, else is refused with a log line that matches log (a regular expression)."""

    def __init__(self, name, broker, log=None, kafka=False, keys=None, again=()):
        self.name, self.broker, self.log, self.kafka, self.keys, self.again = name, broker, log, kafka, keys or {}, again

    def sink(self):
        if self.kafka:
            return {'name': self.name, 'type': 'kafka', 'brokers': [self.broker], 'topics': [TOPIC], 'group': 'varve-' + self.name,
                    'format': 'influx', 'labels': {'sink': self.name}, 'librdkafka': self.keys}
        return {'name': self.name, 'type': 'mqtt', 'broker': self.broker, 'client_id': 'varve-' + self.name,
                'subscriptions': [mqtt.subscription(self.name + '/#', labels={'sink': self.name})], **self.keys}


def mqtt_cases(world, ports):
    ca, (cert, key), (strange_cert, strange_key) = world.ours.ca, world.client, world.stranger

    def url(listener, scheme='mqtts', host='localhost'):
        return '%s://%s:%d' % (scheme, host, ports[listener])

    def tls(**more):
        return {'tls': {'ca': ca, **more}}
    wrong_user = {'username': USER, 'password': 'not-it'}
    return [
        Case('m-good', url('good'), keys=tls()),
        Case('m-good-address', url('good', host='127.0.0.1'), keys={**tls(), 'version': '3.1.1'}),
        Case('m-server-name', url('wronghost', host='127.0.0.1'), keys=tls(server_name=NOBODY)),
        Case('m-mutual', url('mutual'), keys=tls(cert=cert, key=key)),
        Case('m-user', url('auth', 'mqtt'), keys={'username': USER, 'password': PASSWORD}),
        Case('m-ws', url('ws', 'ws')),
        Case('m-wss', url('wss', 'wss'), keys=tls()),
        Case('m-wronghost', url('wronghost'), r'certificate is for nobody\.example, 192\.0\.2\.1, not for localhost: .*tls\.server_name', keys=tls()),
        Case('m-expired', url('expired'), r'certificate expired on 20\d\d-\d\d-\d\dT.*Z: the broker needs a new one', keys=tls()),
        Case('m-unknown', url('unknown'), r'issued by "Strange CA", a CA that isn\'t in \S*ca\.pem: put .*\(tls\.ca\)', keys=tls()),
        Case('m-no-ca', url('good'), r'issued by "Test CA", a CA that this system doesn\'t trust: .*tls\.ca'),
        Case('m-no-cert', url('mutual'), r'wants a client certificate, set tls\.cert and tls\.key', keys=tls()),
        Case('m-strange-cert', url('mutual'), r'refuses the client certificate \S*stranger\.pem \(tls\.cert\): .*unknown ca',
             keys=tls(cert=strange_cert, key=strange_key)),
        Case('m-wrong-user', url('auth', 'mqtt'), r'are username and password .* right', keys=wrong_user),
        Case('m-wrong-user-311', url('auth', 'mqtt'), r'are username and password .* right', keys={**wrong_user, 'version': '3.1.1'}),
        Case('m-not-tls', url('auth'), r'doesn\'t answer with TLS: is that the broker\'s TLS port', keys=tls()),
        Case('m-nobody', 'mqtts://localhost:1', r'port 1: Connection refused', keys=tls()),
    ]


def kafka_cases(world, ports):
    ca, (cert, key) = {'security.protocol': 'SSL', 'ssl.ca.location': world.ours.ca}, world.client
    sasl = {**ca, 'security.protocol': 'SASL_SSL', 'sasl.mechanism': 'PLAIN', 'sasl.username': USER}

    def at(listener, host='127.0.0.1'):
        return '%s:%d' % (host, ports[listener])
    return [
        Case('k-good', at('good'), kafka=True, keys=ca),
        Case('k-mutual', at('mutual'), kafka=True, keys={**ca, 'ssl.certificate.location': cert, 'ssl.key.location': key}),
        Case('k-user', at('sasl'), kafka=True, keys={**sasl, 'sasl.password': PASSWORD}),
        Case('k-wronghost', at('wronghost'), r'certificate is for nobody\.example, 192\.0\.2\.1, not for 127\.0\.0\.1: .*advertised\.listeners',
             kafka=True, keys=ca),
        Case('k-expired', at('expired'), r'certificate expired on 20\d\d-\d\d-\d\dT.*Z: the broker needs a new one', kafka=True, keys=ca),
        Case('k-unknown', at('unknown'), r'issued by "Strange CA", a CA that isn\'t in \S*ca\.pem: put .*\(ssl\.ca\.location\)', kafka=True, keys=ca),
        Case('k-no-cert', at('mutual'), r'ssl\.certificate\.location', kafka=True, keys=ca),
        Case('k-wrong-user', at('sasl'), r'(?i)authentication failed', kafka=True, keys={**sasl, 'sasl.password': 'not-it'}),
    ]


def port_of(case):
    return case.broker.rpartition(':')[2]


def publish(broker, kafka, cases, first, count):
    """The same rows for each sink; a refused one's as well."""
    rows = ['tls,n=%d value=%d %d' % (n, n, 1700000000000 + n) for n in range(first, first + count)]
    broker.publish([('%s/x' % c.name, r.encode()) for c in cases if not c.kafka for r in rows], to_nobody='allow')
    kafka.produce(TOPIC, [(0, None, r.encode()) for r in rows])


def lines_of(text, case):
    """What the log, or the command, says of a sink."""
    return [line for line in text.splitlines() if 'sink %s:' % case.name in line]


def says_why(case, text):
    return any(re.search(case.log, line) and (':' + port_of(case) in line or 'port ' + port_of(case) in line) for line in lines_of(text, case))


def check_service(report, varve, broker, kafka, cases):
    good, bad = [c for c in cases if c.log is None], [c for c in cases if c.log is not None]

    def rows(case):
        return varve.metric('varve_sink_rows_total', sink=case.name)

    for c in good:
        if not c.kafka:
            mqtt.wait_connected(varve, c.name)
    publish(broker, kafka, cases, 0, MESSAGES)
    wait_until(lambda: all(rows(c) >= MESSAGES for c in good), 30, 'rows of all good sinks')
    report.check(True, '%d sinks with the right CA, certificate and password take in: %s' % (len(good), ', '.join(c.name for c in good)))
    try:
        wait_until(lambda: all(says_why(c, varve.process.output()) for c in bad), 20, 'log lines')
    except TimedOut as e:                       # each is looked at below
        report.say(str(e))
    text = varve.process.output()
    for c in bad:
        report.check(says_why(c, text), '%s is refused, and the log says why' % c.name,
                     'expected /%s/ with port %s\n%s' % (c.log, port_of(c), '\n'.join(lines_of(text, c)[-4:])))
    publish(broker, kafka, cases, MESSAGES, MESSAGES)
    wait_until(lambda: all(rows(c) >= 2 * MESSAGES for c in good), 30, 'more rows of all good sinks')
    report.check(varve.process.running() and varve.http.answers('/ready'), 'the service lives on, and the good sinks go on')
    report.same({c.name: varve.metric('varve_mqtt_connected', sink=c.name) for c in cases if not c.kafka},
                {c.name: float(c.log is None) for c in cases if not c.kafka}, 'varve_mqtt_connected is 1 and 0 as it should be')
    report.same({c.name: rows(c) for c in bad if rows(c)}, {}, 'no row of a refused broker')
    text = varve.process.output()
    report.check(PASSWORD not in text and 'not-it' not in text, 'no password in the log')
    worst = max((len(lines_of(text, c)), c.name) for c in bad)
    report.check(worst[0] <= 12, 'a refused sink logs at most 12 lines, however often it tries', '%s: %d' % (worst[1], worst[0]))


def check_command(report, varve, cases):
    """Each sink in one `varve check --connect`, beside the running service."""
    before = {c.name: varve.metric('varve_mqtt_lost_connections_total', sink=c.name) for c in cases if not c.kafka}
    r = varve.command('check', '-c', varve.file, '--connect')
    out, err = r.stdout.decode(), r.stderr.decode()
    report.same(r.returncode, 1, 'check --connect ends with 1 where a broker is refused')
    for c in cases:
        if c.log is None:
            said = re.search(r'^  %s +\S' % re.escape(c.name), out.partition('\nconnections\n')[2], re.M)
            report.check(said and not lines_of(err, c), 'check --connect reaches %s' % c.name, '\n'.join(lines_of(err, c)) or out[-600:])
        else:
            report.check(says_why(c, err), 'check --connect says why not %s' % c.name, '\n'.join(lines_of(err, c)) or 'nothing')
    report.check(PASSWORD not in out + err and 'not-it' not in out + err, 'no password in what it prints')
    report.same({c.name: varve.metric('varve_mqtt_lost_connections_total', sink=c.name) for c in cases if not c.kafka}, before,
                'the running sinks kept their sessions')


def check_one(scope, varve, name, sink, *more):
    path = scope.path(name + '.yaml')
    with open(path, 'w') as f:
        f.write(as_yaml({'storage': {'path': scope.path('unused')}, 'sinks': [sink]}))
    return varve.command('check', '-c', path, *more)


def check_configuration(report, scope, varve, cases):
    """Verification can't be turned off, and what is all right ends with 0."""
    good = next(c for c in cases if c.kafka and c.log is None)
    for key, value in (('enable.ssl.certificate.verification', 'false'), ('ssl.endpoint.identification.algorithm', 'none')):
        sink = good.sink()
        sink['librdkafka'] = {**sink['librdkafka'], key: value}
        r = check_one(scope, varve, 'off', sink)
        err = r.stderr.decode()
        report.check(r.returncode == 1 and key in err and 'always verified' in err, 'librdkafka: {%s: %s} is refused with a reason' % (key, value),
                     'exit %d\n%s' % (r.returncode, err))
    for kind in (True, False):
        case = next(c for c in cases if c.kafka == kind and c.log is None)
        r = check_one(scope, varve, 'one', case.sink(), '--connect')
        report.check(r.returncode == 0, 'check --connect of %s alone ends with 0' % case.name, r.stderr.decode())


def main(report, options):
    with Scope('tls', keep_logs_in=options.build) as scope:
        world = World(scope)
        broker, mqtt_ports = start_mosquitto(scope, world)
        kafka, kafka_ports = start_kafka(scope, world)
        cases = mqtt_cases(world, mqtt_ports) + kafka_cases(world, kafka_ports)
        varve = Varve(scope, options.build, scope.path('store'), [c.sink() for c in cases]).start()
        check_service(report, varve, broker, kafka, cases)
        check_command(report, varve, cases)
        check_configuration(report, scope, varve, cases)
        code, seconds = varve.stop(15)
        report.check(code == 0, 'a clean stop in %.1f s with refused brokers' % seconds, 'exit code %s' % code)
        stored = {}
        for series, (timestamps, _) in varve.export().series.items():
            name = json.loads(series)['sink']
            stored[name] = stored.get(name, 0) + len(timestamps)
        report.same(stored, {c.name: 2 * MESSAGES for c in cases if c.log is None},
                    'stored: every row of the good sinks, none of the others')
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    arguments = parser.parse_args()
    reports.run('tls', lambda r: main(r, arguments))
