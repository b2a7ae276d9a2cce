# kafka.sh - sourced by quickstart.sh: a Kafka of its own, or one of the user's, and a gateway that publishes to it. The same
# functions as mqtt.sh.
SOURCE_NAME=Kafka
PLANT_IS="24 machines on 3 lines"

source_packages() { echo kcat; [ -n "$OWN_KAFKA" ] || echo kafka; }

source_begin() {
  local i
  GROUP=varve-quickstart-$$-$RANDOM OWN_TOPIC="" KCAT_PID=""
  if [ -n "$OWN_KAFKA" ]; then
    BROKER=${OWN_KAFKA%/*} TOPIC=${OWN_KAFKA##*/} START=latest
    TAGS=site=quickstart,run=$$-$RANDOM # tells this plant's samples from others of the topic
    quietly "compiling a Kafka client for the clearing up" cc -O2 -o "$WORK/kt" "$TESTBED/kt.c" -lrdkafka
    kcat -b "$BROKER" -L -m 10 >"$WORK/topics" 2>"$WORK/kcat.log" || die "no Kafka answers at $BROKER" "$WORK/kcat.log"
    if ! grep -qF "topic \"$TOPIC\" " "$WORK/topics"; then
      "$WORK/kt" "$BROKER" create "$TOPIC" 3 1 2>"$WORK/kcat.log" ||
        die "the topic $TOPIC isn't there and can't be made" "$WORK/kcat.log"
      OWN_TOPIC=1
    fi
  else
    BROKER=127.0.0.1:${PORTS[1]} TOPIC=plant START=earliest TAGS=site=quickstart
    # Every partition that a sink may meet; the topic is made by the first look at it.
    quietly "starting Kafka on $BROKER (the first time it is fetched)" \
      bash -c 'bash "$0" fetch && exec bash "$0" start "$@"' "$TESTBED/kafka.sh" "$WORK/broker" --port "${PORTS[1]}" \
      --ctl-port "${PORTS[2]}" --set num.partitions=3
    BROKER_RUNS=1
    for ((i = 0; i < 50; i++)); do
      kcat -b "$BROKER" -L -t "$TOPIC" -m 10 2>/dev/null | grep -q "partition 2, leader [0-9]" && break
      sleep 0.1
    done
  fi
  PLANT_IS="$PLANT_IS, published by kcat to topic $TOPIC"
  SELECTOR={${TAGS//,/\",}\"} SELECTOR=${SELECTOR//=/=\"}
}

source_yaml() {
  cat <<YAML
  # A sink drains topics into the store. Its name keys the positions kept in the store, and labels its metrics.
  - name: plant
    type: kafka
    brokers: ["$BROKER"]
    # A name that starts with ^ is a regular expression, matched against all topics, also ones that appear later.
    topics: ["$TOPIC"]
    group: "$GROUP"
    # What the messages hold: Influx line protocol, any number of lines a message.
    format: influx
    # Where to begin while neither the store nor the group knows a position.
    start_from: $START
YAML
}

# Whether Varve may begin to be sent to: with `latest` Kafka must have given out its partitions.
source_is_ready() { [ $START = earliest ] || grep -q '^varve_kafka_lag{' "$1"; }

source_plant_begin() {
  local fd
  mkfifo "$WORK/messages" || return 1
  kcat -b "$BROKER" -t "$TOPIC" -P -D $'\036' -z lz4 -X linger.ms=50 <"$WORK/messages" >>"$WORK/publish.log" 2>&1 &
  KCAT_PID=$!
  echo $! >>"$WORK/publishers"
  exec {fd}>"$WORK/messages" || return 1
  KCAT_FD=$fd
}
source_publish() { cat >&"$KCAT_FD"; }
source_plant_end() {
  local fd=$KCAT_FD
  exec {fd}>&-
  wait "$KCAT_PID"
}

source_look() {
  kcat -b "$BROKER" -t "$TOPIC" -C -o end -c 3 -q -m 10 -D '' 2>"$WORK/look.log" | head -n 3 | cut -c1-180
}

source_backlog() { echo "varve_kafka_lag 1 Kafka lag %d messages"; }
QUERIES=('alarm_active')
UNTIMED='^never$'
MAY_DOUBLE=""

source_end() {
  if [ -n "$OWN_KAFKA" ]; then
    [ -z "$GROUP_USED" ] || "$WORK/kt" "$BROKER" delete-group "$GROUP" 2>/dev/null
    [ -z "${OWN_TOPIC:-}" ] || "$WORK/kt" "$BROKER" delete "$TOPIC" 2>/dev/null
  fi
  [ -z "$BROKER_RUNS" ] || bash "$TESTBED/kafka.sh" stop "$WORK/broker" >/dev/null 2>&1
}
