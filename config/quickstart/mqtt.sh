# mqtt.sh - sourced by quickstart.sh: a mosquitto of its own, and devices that publish to it. The same functions as kafka.sh.
SOURCE_NAME=MQTT
PLANT_IS="12 machines on 3 lines, a hall, Zigbee sensors, Shelly and Tasmota plugs; published with QoS 1 by mosquitto_pub"

source_packages() { echo mosquitto mosquitto-clients; }

source_begin() {
  BROKER_PORT=${PORTS[1]}
  quietly "starting mosquitto on 127.0.0.1:$BROKER_PORT" \
    bash "$TESTBED/mqtt.sh" start "$WORK/broker" --port "$BROKER_PORT" --queued 0 --save second
  BROKER_RUNS=1
}

source_yaml() {
  cat <<YAML
  # A session with an MQTT broker. A message is in a spool on disk before its PUBACK lets the broker forget it. The name keys
  # the positions in the store, and labels the metrics.
  - name: plant
    type: mqtt
    # mqtts://host:8883 for TLS; certificates are always verified.
    broker: mqtt://127.0.0.1:$BROKER_PORT
    # Names the session in which the broker keeps messages while Varve is away.
    client_id: varve-quickstart
    subscriptions:
      # Influx line protocol. What each + matches becomes a label.
      - filter: plants/+/lines/+/machines/+
        format: influx
        labels: {plant: "\$1", line: "\$2", machine: "\$3"}
      # JSON: every number is a sample, unless told otherwise; its time is the message's ts.
      - filter: plants/+/lines/+/hall
        format: json
        labels: {plant: "\$1", line: "\$2"}
        json: {name: hall, time: "\$.ts"}
      # Texts become labels where that is said.
      - filter: plants/+/lines/+/machines/+/alarm
        format: json
        labels: {plant: "\$1", line: "\$2", machine: "\$3"}
        json: {name: alarm, time: "\$.ts", labels: {code: "\$.code", text: "\$.text"}}
      # Zigbee2MQTT. config/json-mappings.md has such mappings for more than twenty kinds of devices.
      - filter: zigbee2mqtt/+
        format: json
        labels: {device: "\$1"}
        json: {name: zigbee, time: "\$.last_seen"}
      # Tasmota's time has no zone: left out, the arrival counts.
      - filter: tele/+/SENSOR
        format: json
        labels: {device: "\$1"}
        json: {name: tasmota}
      # A bare number a topic, as Shelly sends them; the last level names the series.
      - filter: shellies/+/emeter/+/+
        format: value
        labels: {device: "\$1", channel: "\$2"}
YAML
}

# Whether Varve may begin to be sent to: messages for a session that isn't there are nobody's.
source_is_ready() { grep -q '^varve_mqtt_connected{.* 1$' "$1"; }

# One mosquitto_pub a topic reads messages from a pipe, until the plant's end: it ends when the broker has acknowledged all.
source_plant_begin() { declare -gA TOPIC_FD=() TOPIC_PID=(); }
publish_to() { # TOPIC: opens its pipe
  local fd
  mkfifo "$WORK/topic" || return 1
  mosquitto_pub -h 127.0.0.1 -p "$BROKER_PORT" -q 1 -l -t "$1" <"$WORK/topic" >>"$WORK/publish.log" 2>&1 &
  TOPIC_PID[$1]=$!
  echo $! >>"$WORK/publishers"
  exec {fd}>"$WORK/topic" || return 1
  rm "$WORK/topic"
  TOPIC_FD[$1]=$fd
}
source_publish() { # stdin: lines of topic, tab, message
  local topic message
  while IFS=$'\t' read -r topic message; do
    [ -n "${TOPIC_FD[$topic]:-}" ] || publish_to "$topic" || return 1
    printf '%s\n' "$message" >&"${TOPIC_FD[$topic]}" || return 1
  done
}
source_plant_end() {
  local fd pid
  for fd in "${TOPIC_FD[@]}"; do exec {fd}>&-; done
  for pid in "${TOPIC_PID[@]}"; do wait "$pid" || return 1; done
}

source_look() {
  local filter
  for filter in plants/north/lines/A/machines/+ plants/north/lines/A/hall zigbee2mqtt/+ tele/+/SENSOR shellies/+/emeter/+/power; do
    mosquitto_sub -h 127.0.0.1 -p "$BROKER_PORT" -t "$filter" -v -C 1 -W 5 2>"$WORK/sub.log" | cut -c1-150 ||
      die "nothing is published to $filter" "$WORK/sub.log"
  done
}

# What still waits: a metric, its unit, and how to say it.
source_backlog() { echo "varve_spool_bytes 1024 spool %d KiB"; }
QUERIES=('alarm_active' '{device=~"cold-store|pump-1"}')
SELECTOR='{__name__!=""}'
UNTIMED='"__name__":"(power|energy|tasmota_)'
# QoS 1 is at least once: what the broker has no PUBACK for when Varve is killed, it sends again.
MAY_DOUBLE=1

source_end() { [ -z "$BROKER_RUNS" ] || bash "$TESTBED/mqtt.sh" stop "$WORK/broker" >/dev/null 2>&1; }
