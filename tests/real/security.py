#!/usr/bin/env python3
"""What a Varve keeps to itself, and what it doesn't let others do to it.

    security.py --build DIR

One Varve, as a user without rights and with a umask of 000, with brokers that want passwords and client certificates, and everything that can
be logged being logged. Passwords come in each way that the configuration knows; some are wrong. None may be in the log, in /metrics, in what a
command prints, in a file, on the command line, or readable in /proc. Then the HTTP server meets requests that are too large, too slow, too many
or too expensive, while a producer runs: each is refused with a reason, /metrics answers all the time, intake goes on. At last all that lies on
disk is 0640 or 0750, also what a Varve with a umask of 077 makes of a restored snapshot.
"""
import argparse
import base64
import os
import re
import shutil
import stat
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import leaks, mqtt
from harness import report as reports
from harness.certificates import Authority
from harness.crowd import Crowd, Slow, wait_for_answers
from harness.http import Client
from harness.kafka import Kafka
from harness.scope import Scope, free_port, wait_until
from harness.varve import Varve, sink, yaml

NOBODY = 65534
TOPIC, GROUP, USER = 'm', 'varve-security', 'test'
ROWS, LINES = 500000, 1000                      # so that an export is more than sockets hold
LONG = 'a' * 200


# ------------------------------------------------------------------ surroundings

def start_kafka(scope, authority, planted):
    """-> (Kafka, address for passwords, address for certificates)"""
    ports = {'sasl': free_port(), 'mutual': free_port()}
    kafka = Kafka(scope)
    listeners = ['PLAINTEXT://127.0.0.1:%d' % kafka.port] + ['%s://127.0.0.1:%d' % (n.upper(), p) for n, p in ports.items()]
    settings = {'listeners': ','.join(listeners + ['CONTROLLER://127.0.0.1:%d' % kafka.ctl_port]), 'advertised.listeners': ','.join(listeners),
                'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,MUTUAL:SSL',
                'sasl.enabled.mechanisms': 'PLAIN', 'listener.name.mutual.ssl.client.auth': 'required',
                'listener.name.mutual.ssl.keystore.type': 'PEM', 'listener.name.mutual.ssl.truststore.type': 'PEM',
                'listener.name.mutual.ssl.keystore.location': authority.keystore('server', *authority.issue('server')),
                'listener.name.mutual.ssl.truststore.location': authority.ca,
                'listener.name.sasl.plain.sasl.jaas.config': 'org.apache.kafka.common.security.plain.PlainLoginModule required '
                    'user_%s="%s" user_rejects="%s";' % (USER, planted['kafka'], planted['rejects'])}
    for k, v in settings.items():
        kafka.options += ['--set', '%s=%s' % (k, v)]
    kafka.start()
    kafka.create(TOPIC, max_message_bytes=8 << 20)
    kafka.create('rejected')
    return kafka, *('127.0.0.1:%d' % p for p in ports.values())


def configuration(scope, authority, planted, broker, sasl_address, mutual_address):
    """-> (sinks, further keys)"""
    cert, key = authority.issue('client', ['DNS:client'])
    locked = scope.path('client-locked.key')
    scope.run(['openssl', 'pkcs8', '-topk8', '-in', key, '-out', locked, '-passout', 'env:KEY_PASSWORD'], env={'KEY_PASSWORD': planted['key']})
    for name, secret in (('mqtt', 'mqtt.password'), ('key', 'key.password')):
        with open(scope.path(secret), 'w') as f:
            f.write(planted[name] + '\n')
    sasl = {'security.protocol': 'SASL_PLAINTEXT', 'sasl.mechanism': 'PLAIN', 'sasl.username': USER, 'debug': 'all'}
    ssl = {'security.protocol': 'SSL', 'ssl.ca.location': authority.ca, 'ssl.certificate.location': cert, 'ssl.key.location': locked, 'debug': 'all'}
    sinks = [
        sink(sasl_address, TOPIC, GROUP, name='plain', librdkafka={**sasl, 'sasl.password': '%{VARVE_TEST_KAFKA}'}),
        sink(sasl_address, TOPIC, 'varve-wrong', name='wrong', librdkafka={**sasl, 'sasl.password': planted['kafka_wrong']}),
        sink(mutual_address, 'x', 'varve-mutual', name='mutual', librdkafka={**ssl, 'ssl.key.password': '%{credential:key.password}'}),
        mqtt.sink(broker, [mqtt.subscription('field/#')], name='field', client_id='field', username=USER,
                  password='%%{file:%s}' % scope.path('mqtt.password')),
        mqtt.sink(broker, [mqtt.subscription('other/#')], name='strange', client_id='strange', username=USER, password=planted['mqtt_wrong']),
    ]
    more = {'log': {'level': 'debug', 'format': 'text'}, 'http': {'auth': {'username': 'admin', 'password': planted['http']}},
            'rejects': {'path': scope.path('rejects'),
                        'kafka': {'brokers': [sasl_address], 'topic': 'rejected',
                                  'librdkafka': {**sasl, 'sasl.username': 'rejects', 'sasl.password': '%{VARVE_TEST_REJECTS}'}}}}
    return sinks, more


def wrapped(scope, build, umask):
    """The program with that umask, as nobody, without core dumps -> path of a script."""
    program = scope.path('varve-program')
    if not os.path.exists(program):             # the build may lie where nobody may look
        shutil.copyfile(os.path.join(build, 'src', 'varve'), program)
        os.chmod(program, 0o755)
    path = scope.path('varve-%s' % umask)
    with open(path, 'w') as f:
        f.write('#!/bin/sh\numask %s\nulimit -c 0\nexec setpriv --reuid=%d --regid=%d --clear-groups %s "$@"\n' % (umask, NOBODY, NOBODY, program))
    os.chmod(path, 0o755)
    return path


def give(path):
    """A directory for nobody."""
    os.makedirs(path, exist_ok=True)
    os.chown(path, NOBODY, NOBODY)
    os.chmod(path, 0o750)
    return path


def lines(first, count, name='load'):
    base = 1700000000000
    return b'\n'.join(b'%s,host=h%d v=%d.%d %d' % (name.encode(), n % 7, n, n % 10, base + n) for n in range(first, first + count))


# ------------------------------------------------------------------ files

def wrong_modes(*directories):
    """What isn't as it has to be, links left out -> list of texts"""
    out = []
    for directory in directories:
        for folder, folders, files in os.walk(directory):
            for name in ['.', *folders, *files] if folder == directory else [*folders, *files]:
                path = os.path.normpath(os.path.join(folder, name))
                try:
                    s = os.lstat(path)
                except FileNotFoundError:       # a part that was merged away meanwhile
                    continue
                want = {stat.S_IFDIR: 0o750, stat.S_IFREG: 0o640}.get(stat.S_IFMT(s.st_mode))
                if want is not None and stat.S_IMODE(s.st_mode) != want:
                    out.append('%s: %o' % (path, stat.S_IMODE(s.st_mode)))
    return out


def check_modes(report, what, *directories):
    wrong = wrong_modes(*directories)
    count = sum(len(files) + len(folders) for d in directories for _, folders, files in os.walk(d))
    report.check(not wrong and count > 10, 'all %d files are 0640 and all directories 0750: %s' % (count, what), '\n'.join(wrong[:20]))


# ------------------------------------------------------------------ secrets

def check_process(report, varve, planted):
    base = '/proc/%d/' % varve.process.pid
    report.same(os.stat(base).st_uid in (0, NOBODY) and os.stat(base + 'environ').st_uid, 0,
                "its user may not look into it: /proc/PID/environ is root's, and there is no core dump")
    for name in ('cmdline', 'environ'):
        with open(base + name, 'rb') as f:
            report.same(planted.found(f.read()), {}, 'no secret in /proc/PID/' + name)


def check_outputs(report, scope, varve, planted, program):
    """Commands on the stopped store, and on configurations that are wrong."""
    where = [varve.dir]
    outputs = {}

    def run(*arguments, env=None):
        r = scope.run([program, *arguments], check=False, env=env)
        outputs[' '.join(arguments[:3])] = r.stdout + r.stderr
        return r
    secrets = varve.env
    report.same(run('check', '-c', varve.file, env=secrets).returncode, 0, 'varve check takes the configuration')
    run('check', '-c', varve.file, '--connect', env=secrets)
    run('check', '-c', varve.file)              # without the variables
    for command in (['inspect'], ['inspect', '--json'], ['verify'], ['offsets', 'show'], ['rejects', 'list', '--full'], ['rejects', 'list', '--json']):
        run(*command, *where)
    run('rejects', 'replay', varve.dir, '-c', varve.file, env=secrets)
    with open(varve.file) as f:
        good = f.read()
    for n, (old, new) in enumerate((('sasl.password: %s' % planted['kafka_wrong'], 'sasl.password:%s' % planted['kafka_wrong']),
                                    ('password: %s' % planted['mqtt_wrong'], 'password: [%s]' % planted['mqtt_wrong']),
                                    ('password: %s' % planted['mqtt_wrong'], 'password: "%s' % planted['mqtt_wrong']),
                                    ('password: %s' % planted['http'], 'passwort: %s' % planted['http']),
                                    ('broker: mqtt://', 'broker: mqtt://u:%s@' % planted['mqtt_wrong']))):
        path = scope.path('wrong%d.yaml' % n)
        with open(path, 'w') as f:
            f.write(good.replace(old, new, 1))
        refused = run('check', '-c', path, env=secrets)
        report.check(old in good and refused.returncode == 1 and re.search(rb'yaml:[0-9]+:[0-9]+: ', refused.stderr),
                     'a mistake at a password is one, with its place: %s' % refused.stderr.decode().strip().partition('yaml:')[2][:60], outputs.get('check -c ' + path))
        run('serve', '-c', path, env=secrets)
    found = {name: f for name, f in ((n, planted.found(o)) for n, o in outputs.items()) if f}
    report.same(found, {}, 'no secret in what %d commands print' % len(outputs))


def check_logs(report, varve, planted):
    text = varve.process.output()
    said = ['librdkafka' in text, 'debug' in text, 'SASL' in text, 'uthentication failed' in text, 'username and password' in text]
    report.check(all(said), 'the log has what librdkafka says at debug: all, and both refusals', said)
    report.same(planted.found(text.encode()), {}, 'no secret in %d KB of log at level debug' % (len(text) // 1000))
    report.same(planted.found(varve.http.get('/metrics')), {}, 'no secret in /metrics')


# ------------------------------------------------------------------ HTTP

def raw(port, text, timeout=20):
    """-> (status, answer); 0 if there's none"""
    client = Slow(port, b'')
    client.socket.setblocking(True)
    client.socket.settimeout(timeout)
    try:
        client.socket.sendall(text)
        while (got := client.socket.recv(65536)):
            client.answer += got
    except OSError:
        pass
    client.close()
    return client.status(), client.answer


def get(path, *headers):
    return '\r\n'.join(['GET %s HTTP/1.1' % path, 'Host: localhost', 'Connection: close', *headers, '', '']).encode()


def check_refusals(report, port, planted):
    form = b'POST /api/v1/export HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n'
    many = b'&'.join([b'match[]=x'] * 300)
    credentials = 'Authorization: Basic ' + base64.b64encode(('admin:' + planted['http']).encode()).decode()
    for what, request, status, words in (
            ('a URL of 100 KB', get('/health?' + 'x' * 100000), 414, b''),
            ('headers of 100 KB', get('/health', *('A%d: %s' % (n, 'x' * 90) for n in range(1000))), 431, b''),
            ('a body of 2 MB', form + b'Content-Length: 2000000\r\n\r\n' + b'a' * 2000000, 413, b'a body may have'),
            ('a chunked body of 2 MB', form + b'Transfer-Encoding: chunked\r\n\r\n' + (b'4000\r\n' + b'a' * 16384 + b'\r\n') * 125 + b'0\r\n\r\n', 413,
             b'a body may have'),
            ('a body of 1 TB', form + b'Content-Length: 1000000000000\r\n\r\n', 413, b'a body may have'),
            ('300 selectors', form + b'Content-Length: %d\r\n\r\n' % len(many) + many, 422, b'a request may have 256'),
            ('a selector of 70 KB', form + b'Content-Length: 70006\r\n\r\nmatch=' + b'x' * 70000, 422, b'more than 65536 bytes'),
            ('an expression that backtracks without end', get('/api/v1/export?match[]={l=~"(a%2B)%2B[bc]"}'), 422, b'takes too long'),
            ('another, by what it excludes', get('/api/v1/series?start=2020&match[]={l!~"(a|aa|a*)*[bc]"}'), 400, b'takes too long'),
            ('one that is too large', get('/api/v1/export?match[]={l=~"((((a{1,900}){1,900}){1,900}){1,900})"}'), 422, b'regular expression is too large'),
            ('a page of another site', get('/internal/force_flush', 'Origin: http://evil.example'), 403, b'other sites'),
            ('another name of this machine', get('/internal/force_flush').replace(b'localhost', b'evil.example'), 403, b'Host'),
            ('no HTTP', b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + b'x' * 200 + b'\r\n\r\n', 0, b''),
            ('a request with the password', get('/health', credentials), 200, b'OK')):
        begin = time.monotonic()
        found, answer = raw(port, request)
        seconds = time.monotonic() - begin
        report.check(found == status and words in answer and seconds < 5, '%s: %d in %.1f s' % (what, status, seconds),
                     '%d in %.1f s: %s' % (found, seconds, answer[:600]))


class Watch:
    """Asks for /metrics all the time, each time over a new connection, and notes how long it takes and what has been taken in."""

    def __init__(self, varve):
        self.varve, self.longest, self.failures, self.asked, self.rows = varve, 0, [], 0, []

    def look(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            client, begin = Client(self.varve.port, timeout=10), time.monotonic()
            try:
                text = client.get('/metrics').decode()
                self.rows.append((begin, sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith('varve_sink_rows_total{sink="plain"'))))
            except Exception as e:              # each is a failure of the check below
                self.failures.append('%s: %s' % (type(e).__name__, e))
            client.close()
            self.longest = max(self.longest, time.monotonic() - begin)
            self.asked += 1
            time.sleep(0.1)

    def check(self, report, what):
        report.check(not self.failures and self.longest < 3, '%s: /metrics answered %d times, the slowest after %.2f s' % (what, self.asked, self.longest),
                     '%d failures: %s' % (len(self.failures), self.failures[:3]))
        stood, since = 0, self.rows[0] if self.rows else (0, 0)
        for when, rows in self.rows:
            if rows > since[1]:
                since = (when, rows)
            stood = max(stood, when - since[0])
        report.check(self.rows and self.rows[-1][1] > self.rows[0][1] and stood < 4, '%s: intake went on, its longest pause was %.1f s' % (what, stood),
                     self.rows[-5:])
        self.longest, self.failures, self.asked, self.rows = 0, [], 0, []


def attack(report, varve, kafka):
    port, rate = varve.port, 50
    path = kafka.write([(0, None, lines(ROWS + n * 20, 20)) for n in range(rate * 20)])
    producer = kafka.produce_in_background(TOPIC, path, rate=rate)
    watch = Watch(varve)
    export = get('/api/v1/export?match[]={__name__!=""}')
    slow = [Slow(port, text, drip=True) for text in (b'', b'GET /health HT', b'GET /health HTTP/1.1\r\nA: ', b'POST /api/v1/export HTTP/1.1\r\nHost: localhost\r\n'
            b'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nmatch[]=') for _ in range(8)]
    unread = [Slow(port, export, reads=False) for _ in range(4)] + [Slow(port, get('/metrics'), reads=False) for _ in range(10)]
    for _ in range(9):
        watch.look(1)
        for client in slow:
            client.turn()
    status, answer = raw(port, export)
    report.check(status == 503 and b'4 queries are at work' in answer, 'a fifth export beside four that nobody reads: 503', '%d %s' % (status, answer[:300]))
    wait_for_answers(slow, 5)
    seconds = [(c.ended or 99e9) - c.started for c in slow]
    report.check(all(c.status() == 408 for c in slow) and min(seconds) > 8 and max(seconds) < 16,
                 'requests of a byte a second: 408 after %.1f to %.1f s' % (min(seconds), max(seconds)), sorted({(c.status(), c.answer[:80]) for c in slow}))
    for client in slow + unread:
        client.close()
    watch.check(report, '32 slow requests and 14 answers that nobody reads')

    with Crowd(port, b'GET /hea', 300, interval=0.3) as crowd, Crowd(port, export, 8, interval=0.5, reads=False), \
            Crowd(port, get('/api/v1/export?match[]={l=~"(a%2B)%2B[bc]"}'), 8, interval=0.2):
        watch.look(4)
        report.check(crowd.came > 300, '%d connections came, 300 at a time' % crowd.came)
    watch.check(report, 'a crowd')
    ended = {l[0][1]: v for (n, l), v in varve.metrics().items() if n == 'varve_http_connections_ended_total'}
    report.check(ended.get('slow_request', 0) >= len(slow) and ended.get('made_room', 0) > 0, '/metrics counts them: %s' % ended)
    wait_until(lambda: raw(port, export)[0] == 200, 10, 'an export has a place again', 0.2)
    report.same(producer.wait(60), 0, 'the producer is through')
    report.same(varve.metric('varve_intake_paused'), 0, 'intake never waits')


def poison(report, varve, kafka):
    """A line whose 100,000 fields would each be looked up with all of its 100,000 tags."""
    count, before = 100000, varve.metric('varve_sink_messages_total', sink='plain')
    line = b'm,%s %s 1700000000000' % (b','.join(b't%d=v' % n for n in range(count)), b','.join(b'f%d=1' % n for n in range(count)))
    kafka.produce(TOPIC, [(0, None, line), (0, None, lines(0, 20, 'after'))], max_bytes=4 << 20)
    watch, begin = Watch(varve), time.monotonic()
    while varve.metric('varve_sink_messages_total', sink='plain') < before + 2 and time.monotonic() < begin + 120:
        watch.look(0.5)
    seconds = time.monotonic() - begin
    report.check(varve.metric('varve_sink_messages_total', sink='plain') == before + 2 and not watch.failures and watch.longest < 5,
                 'a line of %d KB, of %d tags and fields, is over after %.1f s, and /metrics answered within %.1f s' % (len(line) >> 10, count, seconds, watch.longest),
                 watch.failures[:3])
    dropped = {l[0][1]: v for (n, l), v in varve.metrics().items() if n == 'varve_rows_dropped_total' and v}
    report.check(sum(dropped.values()) == count and dropped.get('series_names_too_large', 0) > 0, 'its samples are counted as dropped: %s' % dropped)


# ------------------------------------------------------------------

def restored(report, scope, varve, planted, build, kafka):
    """A snapshot's hard links become a store, on which a Varve with a strict umask works."""
    name = varve.http.json('/snapshot/create')['snapshot']
    check_modes(report, 'store, spool, rejects and a snapshot, made under umask 000', varve.dir, scope.path('rejects'))
    copy = give(scope.path('copy'))
    scope.run(['cp', '-rlL', os.path.join(varve.dir, 'snapshots', name) + '/.', copy])
    scope.run(['chown', '-R', '%d:%d' % (NOBODY, NOBODY), copy])
    varve.http.get('/snapshot/delete', {'snapshot': name})
    check_modes(report, 'hard links of the snapshot, in another place', copy)
    second = Varve(scope, build, copy, [sink(kafka.brokers, TOPIC, 'varve-copy', name='plain')], name='second', storage={'flush_interval': '200ms'})
    second.program = wrapped(scope, build, '077')
    kafka.produce(TOPIC, [(0, None, lines(n * 100, 100, 'more')) for n in range(100)])
    second.start()
    wait_until(lambda: second.metric('varve_sink_rows_total') == 10000, 30, 'the copy reads on')
    second.flush()
    second.http.get('/internal/force_merge')
    second.http.json('/snapshot/create')
    wait_until(lambda: second.metric('varve_forced_merges_total') == 1, 30, 'a forced merge')
    check_modes(report, 'the copy, worked on under umask 077', copy)
    report.same(second.stop()[0], 0, 'it stops')
    r = scope.run([second.program, 'merge', copy], check=False)
    report.same(r.returncode, 0, 'varve merge on the copy')
    check_modes(report, 'and after varve merge', copy)


def main(report, options):
    with Scope('security', keep_logs_in=options.build) as scope:
        os.chmod(scope.dir, 0o711)
        planted = leaks.Planted('kafka', 'kafka_wrong', 'key', 'mqtt', 'mqtt_wrong', 'http', 'rejects')
        authority = Authority(scope, scope.path('ca'))
        broker = mqtt.Mqtt(scope, options=['--auth-port', str(auth := free_port()), '--user', '%s:%s' % (USER, planted['mqtt'])]).start()
        kafka, sasl_address, mutual_address = start_kafka(scope, authority, planted)
        guarded = type('Address', (), {'url': 'mqtt://127.0.0.1:%d' % auth})
        sinks, more = configuration(scope, authority, planted, guarded, sasl_address, mutual_address)
        scope.run(['chown', '-R', '%d:%d' % (NOBODY, NOBODY), authority.dir, *(scope.path(n) for n in ('client-locked.key', 'mqtt.password', 'key.password'))])
        kafka.produce(TOPIC, [(0, None, lines(n * LINES, LINES)) for n in range(ROWS // LINES)])
        kafka.produce(TOPIC, [(0, None, b'long,l=%s v=1 1700000000000' % LONG.encode())] + [(0, None, b'not a line %d' % n) for n in range(50)])

        varve = Varve(scope, options.build, give(scope.path('store')), sinks, storage={'flush_interval': '200ms'}, **more)
        varve.config['http']['listen'] = '127.0.0.1:%d' % varve.port
        give(scope.path('rejects'))
        varve.program = wrapped(scope, options.build, '000')
        varve.env = {'VARVE_TEST_KAFKA': planted['kafka'], 'VARVE_TEST_REJECTS': planted['rejects'], 'CREDENTIALS_DIRECTORY': scope.dir}
        varve.start()
        mqtt.wait_connected(varve, 'field')
        broker.publish([('field/x', lines(n, 1, 'field')) for n in range(500)])
        varve.wait_durable(kafka, GROUP, TOPIC)
        mqtt.wait_durable(varve, 500, 'field')
        wait_until(lambda: varve.metric('varve_rejects_forwarded_total') >= 50, 20, 'rejects are in their topic')
        wait_until(lambda: 'username and password' in varve.process.output(), 20, 'MQTT refuses a password')
        report.check(True, 'taken in with passwords and a locked key')
        check_process(report, varve, planted)
        check_refusals(report, varve.port, planted)
        attack(report, varve, kafka)
        varve.wait_durable(kafka, GROUP, TOPIC)
        report.same(varve.metric('varve_sink_rows_total', sink='plain'), ROWS + 1 + 20 * 50 * 20, 'every row was taken in')
        poison(report, varve, kafka)
        check_logs(report, varve, planted)
        restored(report, scope, varve, planted, options.build, kafka)
        report.same(varve.stop()[0], 0, 'it stops cleanly')
        check_modes(report, 'store, spool and rejects after the stop', varve.dir, scope.path('rejects'))
        found = planted.found_below(varve.dir) | planted.found_below(scope.path('rejects')) | planted.found_below(scope.path('copy'))
        report.same(found, {}, 'no secret in a file of the store, the spool or the rejects')
        with open(varve.file, 'rb') as f:
            report.same(sorted(planted.found(f.read())), ['http', 'kafka_wrong', 'mqtt_wrong'], 'what is looked for is found where it lies')
        check_outputs(report, scope, varve, planted, varve.program)
        check_modes(report, 'after the commands', varve.dir, scope.path('rejects'))
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    arguments = parser.parse_args()
    reports.run('security', lambda r: main(r, arguments))
