#!/usr/bin/env bash
# kafka.sh - a disposable Apache Kafka (KRaft) on loopback for tests.
#
#   kafka.sh fetch                      resolve the broker's jars into the cache (with Maven), print the folder; and archive
#                                       their classes, so that each start from then on takes half the time and CPU
#   kafka.sh start DIR [options]        format + start; returns when every listener answers; writes DIR/env
#   kafka.sh stop  DIR                  clean stop (SIGTERM) of every process that start made, by pid
#   kafka.sh kill  DIR [NODE]           SIGKILL one node (default: all)
#   kafka.sh stop-node DIR NODE         SIGTERM one node      } NODE is 1..N, or 100 for the
#   kafka.sh start-node DIR NODE        start it again        } controller when N > 1
#   kafka.sh status DIR                 one line per process
#   kafka.sh tool  DIR NAME [ARG...]    a Kafka command line tool against the plain listener:
#        topics configs delete-records groups get-offsets leader-election reassign transactions
#        console-producer console-consumer producer-perf consumer-perf dump-log features
#
# options of start
#   --port P          PLAINTEXT listener of node 1 (default 18600); node i uses P+i-1 on every listener
#   --ctl-port P      controller listener (default: port + 50)
#   --tls-port P      SSL listener; certificates in DIR/tls (ca.pem server.pem client.pem client.key)
#   --tls-auth none|requested|required   client certificates (default none)
#   --sasl-port P     SASL_PLAINTEXT listener: SCRAM-SHA-256, SCRAM-SHA-512 and PLAIN
#   --sasl-tls-port P SASL_SSL listener, the same mechanisms
#   --proxied-port P  a further plain listener for clients behind a proxy: node i listens on P+i-1 and tells them to come to
#                     the port of --advertised-port Q, Q+i-1, so that they stay behind it
#   --user U:PW       a SASL user (repeatable; default test:test-secret)
#   --nodes N         brokers (default 1, combined with the controller; N > 1 adds one controller process)
#   --no-auto-create  auto.create.topics.enable=false
#   --heap MB         -Xmx of each broker (default 256)
#   --set KEY=VALUE   any further server property (repeatable; wins)
#   --keep            reuse DIR's data from an earlier start instead of wiping it
# environment: KAFKA_VERSION (default below), JAVA (default java), KAFKA_HOST (default 127.0.0.1)
# librdkafka before 2.6.1 (so Debian 12's 2.0.2) cannot do SCRAM against Kafka 4.x (it repeats the nonce);
# it can against 3.9: KAFKA_VERSION=3.9.1. SASL PLAIN, TLS and client certificates work on either.
set -euo pipefail
. "$(dirname "$0")/common.sh"
WANT_VERSION=${KAFKA_VERSION:-4.3.1}
LOG4J_VERSION=2.25.4
JAVA=${JAVA:-java}
JRE="openjdk-17-jre-headless|openjdk-21-jre-headless|default-jre-headless"
HOST=${KAFKA_HOST:-127.0.0.1}
use_version() { KAFKA_VERSION=$1; CACHE=$TESTBED_CACHE/kafka-$1; }
use_version "$WANT_VERSION"
die() { echo "kafka.sh: $*" >&2; exit 1; }
usage() { sed -n '2,/^set -euo/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 2; }

fetch() {
  if [ ! -e "$CACHE/.complete" ]; then
    testbed_need mvn maven
    mkdir -p "$CACHE"
    (
      flock 9
      [ -e "$CACHE/.complete" ] && exit 0
      local log4j=""   # 3.x brings its own binding (reload4j)
      [ "${KAFKA_VERSION%%.*}" = 3 ] || log4j="<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>$LOG4J_VERSION</version></dependency>"
      local tmp; tmp=$(mktemp -d "$CACHE/build.XXXXXX")
      cat >"$tmp/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>testbed</groupId><artifactId>kafka-dist</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$KAFKA_VERSION</version></dependency>
$log4j
</dependencies></project>
POM
      (cd "$tmp" && MAVEN_OPTS="-XX:-UsePerfData ${MAVEN_OPTS:-}" mvn -B -q dependency:copy-dependencies -DoutputDirectory="$tmp/libs" \
         -DincludeScope=runtime </dev/null >"$tmp/mvn.log" 2>&1) ||
        { cat "$tmp/mvn.log" >&2; exit 1; }
      rm -rf "$CACHE/libs"; mv "$tmp/libs" "$CACHE/libs"; rm -rf "$tmp"
      : >"$CACHE/.complete"
    ) 9>"$CACHE/.lock" || die "could not resolve Kafka $KAFKA_VERSION from Maven"
  fi
  echo "$CACHE/libs"
}

class_archive() { # where the classes of these jars are kept as this JVM maps them; another JVM, or jars put there anew, have another one
  echo "$CACHE/classes-$(stat -Lc %Y-%s "$(command -v "$JAVA")")-$(stat -c %i-%Y "$CACHE/libs").jsa"
}
archive_classes() { # by a broker that starts and ends; without it all runs as well, but slower
  local archive dir ports
  archive=$(class_archive)
  [ ! -e "$archive" ] || return 0
  (
    flock 9
    [ ! -e "$archive" ] || exit 0
    dir=$(mktemp -d "$CACHE/classes.XXXXXX")
    mapfile -t ports < <(bash "$TESTBED/free-port.sh" 2)
    ! KAFKA_ARCHIVE_TO=$dir/classes.jsa bash "$0" start "$dir/broker" --port "${ports[0]}" --ctl-port "${ports[1]}" >"$dir/log" 2>&1 ||
      bash "$0" stop "$dir/broker" >>"$dir/log" 2>&1 || true
    rm -f "$CACHE"/classes-*.jsa
    if [ -s "$dir/classes.jsa" ]; then mv "$dir/classes.jsa" "$archive"; else
      echo "kafka.sh: the classes couldn't be archived, so starts take longer: $(tail -n 3 "$dir/log")" >&2
      : >"$archive" # don't try again
    fi
    rm -rf "$dir"
  ) 9>"$CACHE/.lock"
}

jvm() { # heap-MB log4j-target main args...   (exec: the caller's pid is the JVM's)
  local heap=$1 target=$2 archive; shift 2
  local -a share=()
  archive=$(class_archive)
  if [ -n "${KAFKA_ARCHIVE_TO:-}" ]; then
    [ "$1" != kafka.Kafka ] || share=(-XX:ArchiveClassesAtExit="$KAFKA_ARCHIVE_TO" -Xlog:disable)
  elif [ -s "$archive" ]; then
    share=(-XX:SharedArchiveFile="$archive" -Xlog:disable) # that it can't be used is no news
  fi
  exec "$JAVA" ${share[@]+"${share[@]}"} -Xmx"${heap}m" -Xss512k -XX:+UseSerialGC -XX:TieredStopAtLevel="${KAFKA_TIER:-1}" \
    -XX:-UsePerfData -Djava.io.tmpdir="${DIR:-/tmp}" -Djava.net.preferIPv4Stack=true \
    -Dlog4j2.configurationFile="$target" -Dlog4j.configuration="file:${target/log4j2/log4j1}" -cp "$LIBS/*" "$@"
}

write_log4j() { # file level stream
  cat >"$1" <<L
status=error
appender.out.type=Console
appender.out.name=out
appender.out.target=$3
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=$2
rootLogger.appenderRef.out.ref=out
L
  cat >"${1/log4j2/log4j1}" <<L
log4j.rootLogger=$2, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.Target=$(echo "$3" | sed 's/SYSTEM_OUT/System.out/; s/SYSTEM_ERR/System.err/')
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c{1} %m%n
L
}

make_tls() { # dir: a CA, a server and a client certificate, PEM only (no keytool)
  local d=$1; mkdir -p "$d"; [ -s "$d/server-keystore.pem" ] && return 0
  (
    cd "$d"; umask 077
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=testbed CA" \
      -keyout ca.key -out ca.pem
    for who in server client; do
      openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$who" -keyout $who.key -out $who.csr
      printf 'subjectAltName=IP:127.0.0.1,IP:%s,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n' "$HOST" >$who.ext
      openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile $who.ext -out $who.pem
    done
    # a second CA and client that the server does not trust, for negative tests
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=rogue" \
      -keyout rogue.key -out rogue.pem
    openssl pkcs8 -topk8 -nocrypt -in server.key -out server.p8
    cat server.p8 server.pem ca.pem >server-keystore.pem
    rm -f ./*.csr ./*.ext server.p8
  ) >"$d/openssl.log" 2>&1 || { cat "$d/openssl.log" >&2; die "openssl failed"; }
}

port_free() { ! (exec 3<>"/dev/tcp/$HOST/$1") 2>/dev/null; }
alive() { # pidfile -> pid when that very process still runs (pid + start time)
  local pid st; [ -s "$1" ] || return 1; read -r pid st <"$1"
  [ -r "/proc/$pid/stat" ] && [ "$(sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f20)" = "$st" ] &&
    [ "$(sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f1)" != Z ] && echo "$pid"
}
save_pid() { echo "$1 $(sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f20)" >"$2"; }

start_node() { # node  (needs DIR; reads DIR/conf)
  local n=$1 pid heap; . "$DIR/conf"
  alive "$DIR/node$n/pid" >/dev/null && die "node $n already runs"
  local i p; [ "$n" = 100 ] || for p in "$PORT" $TLS_PORT $SASL_PORT $SASL_TLS_PORT $PROXIED_PORT; do # a killed JVM keeps its sockets for a moment
    i=0; while ! port_free $((p + n - 1)); do i=$((i + 1)); [ $i -lt 60 ] || die "port $((p + n - 1)) is taken"; sleep 0.05; done; done
  LIBS=$(fetch); heap=$HEAP; [ "$n" = 100 ] && heap=128
  (jvm "$heap" "$DIR/log4j2.properties" kafka.Kafka "$DIR/node$n/server.properties") \
    >>"$DIR/node$n/out.log" 2>&1 </dev/null &
  pid=$!; sleep 0.05; save_pid "$pid" "$DIR/node$n/pid"; disown "$pid" 2>/dev/null || true
}
wait_node() { # node timeout-tenths
  local n=$1 left=${2:-600} p; . "$DIR/conf"
  local mark; mark=$(cat "$DIR/node$n/mark" 2>/dev/null || echo 0)
  while ! tail -c +"$((mark + 1))" "$DIR/node$n/out.log" 2>/dev/null | grep -q 'Kafka Server started'; do
    alive "$DIR/node$n/pid" >/dev/null || { tail -30 "$DIR/node$n/out.log" >&2; die "node $n died"; }
    left=$((left - 1)); [ $left -gt 0 ] || { tail -30 "$DIR/node$n/out.log" >&2; die "node $n not ready"; }
    sleep 0.1
  done
  [ "$n" = 100 ] && return 0
  for p in "$PORT" $TLS_PORT $SASL_PORT $SASL_TLS_PORT $PROXIED_PORT; do
    while port_free $((p + n - 1)); do
      left=$((left - 1)); [ $left -gt 0 ] || die "node $n: port $((p + n - 1)) not open"; sleep 0.1
    done
  done
}
mark_node() { mkdir -p "$DIR/node$1"; { stat -c %s "$DIR/node$1/out.log" 2>/dev/null || echo 0; } >"$DIR/node$1/mark"; }
stop_node() { # node signal
  local pid i; pid=$(alive "$DIR/node$1/pid") || return 0
  kill "-$2" "$pid" 2>/dev/null || true
  for i in $(seq 1 300); do alive "$DIR/node$1/pid" >/dev/null || { rm -f "$DIR/node$1/pid"; return 0; }; sleep 0.1; done
  kill -9 "$pid" 2>/dev/null || true; echo "kafka.sh: node $1 needed SIGKILL" >&2
}
nodes_of() { for d in "$DIR"/node*/; do d=${d%/}; echo "${d##*node}"; done | sort -n; }

cmd_start() {
  local PORT=18600 CTL="" TLS_PORT="" TLS_AUTH=none SASL_PORT="" SASL_TLS_PORT="" PROXIED_PORT="" ADVERTISED_PORT="" NODES=1 AUTO=true HEAP=256 KEEP="" t0
  local -a USERS=() SETS=()
  while [ $# -gt 0 ]; do
    case $1 in
      --port) PORT=$2; shift ;; --ctl-port) CTL=$2; shift ;; --tls-port) TLS_PORT=$2; shift ;;
      --tls-auth) TLS_AUTH=$2; shift ;; --sasl-port) SASL_PORT=$2; shift ;; --sasl-tls-port) SASL_TLS_PORT=$2; shift ;;
      --proxied-port) PROXIED_PORT=$2; shift ;; --advertised-port) ADVERTISED_PORT=$2; shift ;;
      --user) USERS+=("$2"); shift ;; --nodes) NODES=$2; shift ;; --no-auto-create) AUTO=false ;;
      --heap) HEAP=$2; shift ;; --set) SETS+=("$2"); shift ;; --keep) KEEP=1 ;;
      *) die "unknown option $1" ;;
    esac; shift
  done
  [ ${#USERS[@]} -gt 0 ] || USERS=(test:test-secret)
  CTL=${CTL:-$((PORT + 50))}
  t0=$(date +%s%N)
  testbed_need "$JAVA" "$JRE"
  [ -z "$TLS_PORT$SASL_TLS_PORT" ] || testbed_need openssl openssl
  LIBS=$(fetch)
  mkdir -p "$DIR"; DIR=$(cd "$DIR" && pwd)
  local n p; for n in $(nodes_of 2>/dev/null); do alive "$DIR/node$n/pid" >/dev/null && die "already running in $DIR"; done
  for n in $(seq 1 "$NODES"); do for p in "$PORT" $TLS_PORT $SASL_PORT $SASL_TLS_PORT $PROXIED_PORT; do
    port_free $((p + n - 1)) || die "port $((p + n - 1)) is taken"; done; done
  port_free "$CTL" || die "port $CTL is taken"
  [ -n "$KEEP" ] || rm -rf "$DIR"/node* "$DIR/conf" "$DIR/env" "$DIR/cluster-id"
  write_log4j "$DIR/log4j2.properties" INFO SYSTEM_OUT
  write_log4j "$DIR/log4j2-tools.properties" ERROR SYSTEM_ERR
  [ -z "$TLS_PORT$SASL_TLS_PORT" ] || make_tls "$DIR/tls"
  [ -s "$DIR/cluster-id" ] || head -c16 /dev/urandom | base64 | tr '+/' 'AB' | cut -c1-22 >"$DIR/cluster-id"
  printf 'KAFKA_VERSION=%s\nNODES=%s\nPORT=%s\nTLS_PORT=%s\nSASL_PORT=%s\nSASL_TLS_PORT=%s\nPROXIED_PORT=%s\nHEAP=%s\n' \
    "$KAFKA_VERSION" "$NODES" "$PORT" "$TLS_PORT" "$SASL_PORT" "$SASL_TLS_PORT" "$PROXIED_PORT" "$HEAP" >"$DIR/conf"

  local ids rf; ids=$(seq 1 "$NODES"); rf=$NODES; [ "$rf" -le 3 ] || rf=3
  [ "$NODES" -eq 1 ] || ids="100 $ids"
  local u plain="" scram="" ; local -a fmt=()
  for u in "${USERS[@]}"; do
    plain+=" user_${u%%:*}=\"${u#*:}\""
    [ -z "$SASL_PORT$SASL_TLS_PORT" ] || for m in SCRAM-SHA-256 SCRAM-SHA-512; do
      fmt+=(--add-scram "$m=[name=${u%%:*},password=${u#*:}]"); done
  done
  for n in $ids; do
    mkdir -p "$DIR/node$n"; local f=$DIR/node$n/server.properties off=$((n - 1)) L="" A="" M="CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,TLS:SSL,SASL:SASL_PLAINTEXT,SASLTLS:SASL_SSL,PROXIED:PLAINTEXT"
    if [ "$n" != 100 ]; then
      L="PLAINTEXT://$HOST:$((PORT + off))"
      [ -z "$TLS_PORT" ] || L+=",TLS://$HOST:$((TLS_PORT + off))"
      [ -z "$SASL_PORT" ] || L+=",SASL://$HOST:$((SASL_PORT + off))"
      [ -z "$SASL_TLS_PORT" ] || L+=",SASLTLS://$HOST:$((SASL_TLS_PORT + off))"
      A=$L
      [ -z "$PROXIED_PORT" ] || { L+=",PROXIED://$HOST:$((PROXIED_PORT + off))"; A+=",PROXIED://$HOST:$((${ADVERTISED_PORT:-$PROXIED_PORT} + off))"; }
    fi
    {
      echo "node.id=$n"
      if [ "$n" = 100 ]; then echo "process.roles=controller"; echo "listeners=CONTROLLER://$HOST:$CTL"
      elif [ "$NODES" -eq 1 ]; then echo "process.roles=broker,controller"; echo "listeners=$L,CONTROLLER://$HOST:$CTL"
      else echo "process.roles=broker"; echo "listeners=$L"; fi
      [ -z "$A" ] || echo "advertised.listeners=$A"
      cat <<P
controller.quorum.bootstrap.servers=$HOST:$CTL
controller.listener.names=CONTROLLER
listener.security.protocol.map=$M
log.dirs=$DIR/node$n/data
num.network.threads=2
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.io.buffer.size=262144
log.index.size.max.bytes=1048576
num.partitions=1
default.replication.factor=$rf
offsets.topic.num.partitions=4
offsets.topic.replication.factor=$rf
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=$rf
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=$rf
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=$AUTO
delete.topic.enable=true
controlled.shutdown.enable=true
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
P
      [ "$n" = 100 ] || echo "inter.broker.listener.name=PLAINTEXT"
      if [ "$n" != 100 ] && [ -n "$TLS_PORT$SASL_TLS_PORT" ]; then
        cat <<P
ssl.keystore.type=PEM
ssl.keystore.location=$DIR/tls/server-keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location=$DIR/tls/ca.pem
listener.name.tls.ssl.client.auth=$TLS_AUTH
P
      fi
      if [ "$n" != 100 ] && [ -n "$SASL_PORT$SASL_TLS_PORT" ]; then
        echo "sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN"
        for l in sasl sasltls; do
          echo "listener.name.$l.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"
          echo "listener.name.$l.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"
          echo "listener.name.$l.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required$plain;"
        done
      fi
      local s; for s in ${SETS[@]+"${SETS[@]}"}; do echo "$s"; done
    } | awk -F= '{k=$1} !(k in i){i[k]=++c; o[c]=k} {v[k]=$0} END{for(j=1;j<=c;j++)print v[o[j]]}' >"$f"
    if [ ! -s "$DIR/node$n/data/meta.properties" ]; then
      local -a a=(); if [ "$n" = 100 ] || [ "$NODES" -eq 1 ]; then a=(--standalone ${fmt[@]+"${fmt[@]}"}); fi
      (jvm 64 "$DIR/log4j2-tools.properties" kafka.tools.StorageTool format -t "$(cat "$DIR/cluster-id")" \
         -c "$f" ${a[@]+"${a[@]}"}) >"$DIR/node$n/format.log" 2>&1 || { cat "$DIR/node$n/format.log" >&2; die "format failed"; }
    fi
  done
  for n in $ids; do mark_node "$n"; start_node "$n"; done
  for n in $ids; do wait_node "$n"; done
  local b="" tb="" sb="" stb="" i
  for i in $(seq 0 $((NODES - 1))); do
    b+=",$HOST:$((PORT + i))"; [ -z "$TLS_PORT" ] || tb+=",$HOST:$((TLS_PORT + i))"
    [ -z "$SASL_PORT" ] || sb+=",$HOST:$((SASL_PORT + i))"; [ -z "$SASL_TLS_PORT" ] || stb+=",$HOST:$((SASL_TLS_PORT + i))"
  done
  {
    echo "KAFKA_BOOTSTRAP=${b#,}"; [ -z "$tb" ] || echo "KAFKA_BOOTSTRAP_TLS=${tb#,}"
    [ -z "$sb" ] || echo "KAFKA_BOOTSTRAP_SASL=${sb#,}"; [ -z "$stb" ] || echo "KAFKA_BOOTSTRAP_SASL_TLS=${stb#,}"
    [ ! -d "$DIR/tls" ] || echo "KAFKA_TLS_DIR=$DIR/tls"
    echo "KAFKA_USER=${USERS[0]%%:*}"; echo "KAFKA_PASSWORD=${USERS[0]#*:}"
  } >"$DIR/env"
  cat "$DIR/env"
  echo "# Kafka $KAFKA_VERSION, $NODES broker(s), ready in $((($(date +%s%N) - t0) / 1000000)) ms" >&2
}

cmd_tool() {
  local name=$1 cls cfg=(); shift; . "$DIR/conf"; LIBS=$(fetch)
  local bs=(--bootstrap-server "$HOST:$PORT")
  case $name in
    topics) cls=org.apache.kafka.tools.TopicCommand ;;
    configs) cls=kafka.admin.ConfigCommand ;;
    delete-records) cls=org.apache.kafka.tools.DeleteRecordsCommand ;;
    groups) cls=org.apache.kafka.tools.consumer.group.ConsumerGroupCommand ;;
    get-offsets) cls=org.apache.kafka.tools.GetOffsetShell ;;
    leader-election) cls=org.apache.kafka.tools.LeaderElectionCommand ;;
    reassign) cls=org.apache.kafka.tools.reassign.ReassignPartitionsCommand ;;
    transactions) cls=org.apache.kafka.tools.TransactionsCommand ;;
    features) cls=org.apache.kafka.tools.FeatureCommand ;;
    console-producer) cls=org.apache.kafka.tools.ConsoleProducer ;;
    console-consumer) cls=org.apache.kafka.tools.consumer.ConsoleConsumer ;;
    producer-perf) cls=org.apache.kafka.tools.ProducerPerformance ;;
    consumer-perf) cls=org.apache.kafka.tools.ConsumerPerformance ;;
    dump-log) cls=org.apache.kafka.tools.DumpLogSegments; bs=()
      grep -q org/apache/kafka/tools/DumpLogSegments "$LIBS"/kafka-tools-*.jar || cls=kafka.tools.DumpLogSegments ;;
    *) die "unknown tool $name" ;;
  esac
  jvm 256 "$DIR/log4j2-tools.properties" "$cls" ${bs[@]+"${bs[@]}"} "$@"
}

[ $# -ge 1 ] || usage
cmd=$1; shift
case $cmd in
  fetch) fetch; testbed_need "$JAVA" "$JRE"; archive_classes; exit ;;
  start | stop | kill | stop-node | start-node | status | tool) [ $# -ge 1 ] || usage; DIR=$1; shift ;;
  *) usage ;;
esac
if [ "$cmd" != start ]; then [ -s "$DIR/conf" ] || die "nothing was started in $DIR"; DIR=$(cd "$DIR" && pwd)
  use_version "$(sed -n 's/^KAFKA_VERSION=//p' "$DIR/conf")"; fi
case $cmd in
  start) cmd_start "$@" ;;
  stop) for n in $(nodes_of | sort -n); do [ "$n" = 100 ] || stop_node "$n" TERM; done
        [ ! -d "$DIR/node100" ] || stop_node 100 TERM ;;
  kill) if [ $# -gt 0 ]; then stop_node "$1" KILL; else for n in $(nodes_of); do stop_node "$n" KILL; done; fi ;;
  stop-node) stop_node "$1" TERM ;;
  start-node) mark_node "$1"; start_node "$1"; wait_node "$1" ;;
  status) for n in $(nodes_of); do if p=$(alive "$DIR/node$n/pid"); then
      echo "node $n pid $p rss_kb $(awk '/VmRSS/{print $2}' "/proc/$p/status")"; else echo "node $n down"; fi; done ;;
  tool) cmd_tool "$@" ;;
esac
