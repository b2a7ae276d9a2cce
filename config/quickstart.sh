#!/bin/sh
# quickstart.sh - shows Varve at work: a minute of a plant's metrics through a real Kafka into a store that you can query.
#
#   sh config/quickstart.sh                        installs what is missing, builds, starts a Kafka and Varve, shows them work
#   --seconds N             how long the plant runs (default 60)
#   --kafka BROKER/TOPIC    your own Kafka instead: the plant is published into that topic, and stays there if the topic was
#                           there before; the consumer group is deleted at the end
#   --varve PROGRAM         this varve instead of building one
#   --keep                  leave the store and its configuration, and say where they are
#
# Everything lies under one temporary directory and listens on 127.0.0.1; at the end, on an error and on Ctrl-C the programs are
# ended and the directory is deleted. Exit 0 only if every sample that was published is in the store, once.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
TESTBED=$ROOT/tests/testbed
export LC_ALL=C
export no_proxy="127.0.0.1,localhost${no_proxy:+,$no_proxy}"

DURATION=60 KAFKA="" VARVE="" KEEP=""
usage() { sed -n '2,/^\[ -n/p' "$ROOT/config/quickstart.sh" | sed '$d; s/^# \{0,1\}//'; }
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) DURATION=${2:-}; shift ;;
    --kafka) KAFKA=${2:-}; shift ;;
    --varve) VARVE=${2:-}; shift ;;
    --keep) KEEP=1 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 64 ;;
  esac
  shift || break
done
[[ $DURATION =~ ^[1-9][0-9]{0,5}$ ]] || { echo "quickstart.sh: --seconds takes a whole number from 1" >&2; exit 64; }
[ -z "$KAFKA" ] || [[ $KAFKA == ?*/?* ]] || { echo "quickstart.sh: --kafka takes BROKER:PORT/TOPIC" >&2; exit 64; }

# ---------------------------------------------------------------- beginning and end
WORK=$(mktemp -d "${TMPDIR:-/tmp}/varve-quickstart.XXXXXX") || exit 1
VARVE_PID="" PLANT_PID="" KCAT_PID="" KAFKA_RUNS="" OWN_TOPIC="" GROUP_USED=""
TTY=""
[ ! -t 1 ] || TTY=1

heading() { printf '\n%s%s%s\n' "${TTY:+$'\e[1m'}" "$*" "${TTY:+$'\e[0m'}"; }
die() {
  [ -z "$TTY" ] || printf '\r\e[K'
  echo "quickstart.sh: $1" >&2
  [ -z "${2:-}" ] || [ ! -s "$2" ] || { echo "the end of its output:" >&2; tail -n 30 "$2" | sed 's/^/  | /' >&2; }
  exit 1
}
end_process() { # PID SECONDS: SIGTERM, and SIGKILL if that long isn't enough
  local i
  [ -n "$1" ] && kill -TERM "$1" 2>/dev/null || return 0
  for ((i = 0; i < $2 * 10; i++)); do
    kill -0 "$1" 2>/dev/null || { wait "$1" 2>/dev/null; return 0; }
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null
  wait "$1" 2>/dev/null
}
clean_up() {
  trap '' INT TERM HUP # a second Ctrl-C doesn't stop the clearing up
  end_process "$PLANT_PID" 5
  end_process "$KCAT_PID" 5
  end_process "$VARVE_PID" 15
  if [ -n "$KAFKA" ]; then
    [ -z "$GROUP_USED" ] || "$WORK/kt" "$BROKER" delete-group "$GROUP" 2>/dev/null
    [ -z "$OWN_TOPIC" ] || "$WORK/kt" "$BROKER" delete "$TOPIC" 2>/dev/null
  fi
  [ -z "$KAFKA_RUNS" ] || bash "$TESTBED/kafka.sh" stop "$WORK/kafka" >/dev/null 2>&1
  if [ -n "$KEEP" ]; then
    rm -rf "$WORK/kafka" "$WORK/plant" "$WORK/kt"
    echo "kept: $WORK"
  else
    rm -rf "$WORK"
  fi
}
trap clean_up EXIT
trap 'echo; echo "stopped"; exit 130' INT TERM HUP

quietly() { # WHAT COMMAND...: its output only if it fails
  local what=$1 start=$SECONDS
  shift
  printf '%s ... ' "$what"
  "$@" >"$WORK/step.log" 2>&1 </dev/null || { echo "failed"; die "$what failed" "$WORK/step.log"; }
  echo "done, $((SECONDS - start)) s"
}

# ---------------------------------------------------------------- Varve and Kafka
heading "Getting ready"
# shellcheck disable=SC2046
sh "$ROOT/config/install-deps.sh" build kcat curl $([ -n "$KAFKA" ] || echo kafka) || exit 1
build() {
  cmake --preset release -S "$ROOT" -B "$ROOT/build/quickstart" -DVARVE_TESTS=OFF && cmake --build "$ROOT/build/quickstart" -j "$(nproc)"
}
if [ -z "$VARVE" ]; then
  cd "$ROOT" || exit 1
  quietly "building Varve (build/quickstart)" build
  VARVE=$(find "$ROOT/build/quickstart" -name varve -type f -perm -u+x | head -n 1)
fi
[ -x "$VARVE" ] || die "there is no varve program${VARVE:+ at $VARVE}"
mapfile -t PORTS < <(bash "$TESTBED/free-port.sh" 3)
HTTP=127.0.0.1:${PORTS[0]}
if [ -n "$KAFKA" ]; then
  BROKER=${KAFKA%/*} TOPIC=${KAFKA##*/} START=latest
  quietly "compiling a Kafka client for the clearing up" cc -O2 -o "$WORK/kt" "$TESTBED/kt.c" -lrdkafka
  kcat -b "$BROKER" -L -m 10 >"$WORK/topics" 2>"$WORK/kcat.log" || die "no Kafka answers at $BROKER" "$WORK/kcat.log"
  if ! grep -qF "topic \"$TOPIC\" " "$WORK/topics"; then
    "$WORK/kt" "$BROKER" create "$TOPIC" 3 1 2>"$WORK/kcat.log" || die "the topic $TOPIC isn't there and can't be made" "$WORK/kcat.log"
    OWN_TOPIC=1
  fi
else
  BROKER=127.0.0.1:${PORTS[1]} TOPIC=plant START=earliest
  # Every partition that a sink may meet; the topic is made by the first look at it.
  quietly "starting Kafka on $BROKER (the first time it is fetched)" \
    bash -c 'bash "$0" fetch && exec bash "$0" start "$@"' "$TESTBED/kafka.sh" "$WORK/kafka" --port "${PORTS[1]}" --ctl-port "${PORTS[2]}" \
    --set num.partitions=3
  KAFKA_RUNS=1
  for ((i = 0; i < 50; i++)); do
    kcat -b "$BROKER" -L -t "$TOPIC" -m 10 2>/dev/null | grep -q "partition 2, leader [0-9]" && break
    sleep 0.1
  done
fi
GROUP=varve-quickstart-$$-$RANDOM
# Tags of every line; the second tells this plant's samples from others of your topic.
TAGS=site=quickstart${KAFKA:+,run=$$-$RANDOM}

cat >"$WORK/varve.yaml" <<YAML
# The quick start's configuration. config/varve.yaml explains every key there is, with its default and unit.

storage:
  # A directory that a stock VictoriaMetrics opens as its -storageDataPath, once Varve has stopped.
  path: "$WORK/store"
  # Rows go to disk, and their Kafka offsets are committed, in one step this often: what a crash repeats, but never loses.
  flush_interval: 5s

sinks:
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

http:
  # /metrics, /health, /ready, /api/v1/export, /api/v1/series
  listen: "$HTTP"
YAML
"$VARVE" check -c "$WORK/varve.yaml" >"$WORK/check.log" 2>&1 || die "varve check refuses the configuration" "$WORK/check.log"

printf 'starting Varve on http://%s ... ' "$HTTP"
"$VARVE" serve -c "$WORK/varve.yaml" >"$WORK/varve.log" 2>&1 </dev/null &
VARVE_PID=$!
GROUP_USED=1
metrics() { curl -fsS --max-time 5 "http://$HTTP/metrics" >"$WORK/metrics" 2>/dev/null; }
for ((i = 0; ; i++)); do
  kill -0 "$VARVE_PID" 2>/dev/null || { echo failed; die "varve serve ended" "$WORK/varve.log"; }
  # Ready means that the store is open; with `latest` the plant must not begin before Kafka has given out its partitions.
  if curl -fsS -o /dev/null --max-time 5 "http://$HTTP/ready" 2>/dev/null && metrics; then
    [ $START = earliest ] || grep -q '^varve_kafka_lag{' "$WORK/metrics" && break
  fi
  [ $i -lt 300 ] || { echo failed; die "varve serve isn't ready after 30 s" "$WORK/varve.log"; }
  sleep 0.1
done
echo "done"
echo "configuration: $WORK/varve.yaml"

# ---------------------------------------------------------------- the plant
# Three lines of eight machines, ten values each, five times a second; a hall sensor a line; and one bearing that runs hot
# after two fifths of the time, raises an alarm, and is cooled down again. One message a machine and second, as a gateway sends.
# Values depend on the time alone, so that a second is one call. Messages end with \036; the count of samples goes to fd 3.
plant_second() { # SECOND EPOCH-MS
  awk -v second="$1" -v epoch="$2" -v duration="$DURATION" -v tags="$TAGS" '
    function noise(width) { return (rand() - 0.5) * 2 * width }
    function heat(x) { x /= duration; return x < 0.4 || x > 0.9 ? 0 : (x < 0.7 ? (x - 0.4) * 130 : (0.9 - x) * 195) }
    BEGIN {
      srand(second + 1); pi = 3.14159265; samples = 0
      for (l = 0; l < 3; l++) {
        line = substr("ABC", l + 1, 1)
        for (m = 1; m <= 8; m++) {
          id = line m; phase = l * 8 + m
          for (k = 0; k < 5; k++) {
            x = second + k / 5; ms = epoch + k * 200
            hot = id == "B3" ? heat(x) : 0
            wave = sin(2 * pi * x / 40 + phase)
            printf "machine,%s,line=%s,machine=%s temperature=%.1f,pressure=%.3f,vibration=%.3f,speed=%.0f,power=%.2f,current=%.2f,oil=%.1f,pieces=%di,energy=%di,state=%di %.0f\n",
              tags, line, id, 58 + 4 * wave + noise(0.4) + hot, 6.2 + 0.15 * wave + noise(0.02), 0.8 + hot / 20 + noise(0.1),
              1480 + noise(6), 11.5 + 2 * wave + noise(0.2), 21 + 3.5 * wave + noise(0.3), 82 - x / 90,
              int(x / 3.4 + phase), int(x * 3.2 + 1000 * phase), (hot > 25 ? 2 : 1), ms
            samples += 10
          }
          printf "\036"
        }
        printf "hall,%s,line=%s temperature=%.2f,humidity=%.1f,particles=%di %.0f\n\036", tags, line, 21 + sin(2 * pi * second / 300), 45 + noise(1), 900 + noise(80), epoch
        samples += 3
      }
      if ((heat(second) > 25) != (second && heat(second - 1) > 25)) {
        printf "alarm,%s,line=B,machine=B3,code=E42,text=bearing\\ hot active=%di %.0f\n\036", tags, (heat(second) > 25), epoch
        samples++
      }
      print samples >"/dev/stderr"
    }'
}
plant() {
  local second count total=0 start now wait
  start=${EPOCHREALTIME/./} # microseconds
  for ((second = 0; second < DURATION; second++)); do
    # the batch of a second is published when that second is over
    now=${EPOCHREALTIME/./}
    wait=$((start + (second + 1) * 1000000 - now))
    [ $wait -le 0 ] || sleep "$((wait / 1000000)).$(printf %06d $((wait % 1000000)))"
    count=$({ plant_second $second $(((start + second * 1000000) / 1000)) >&4; } 2>&1 4>&4) || return 1
    total=$((total + count))
    echo $total >"$WORK/sent.new" && mv "$WORK/sent.new" "$WORK/sent"
  done
}
mkfifo "$WORK/plant" || exit 1
echo 0 >"$WORK/sent"
kcat -b "$BROKER" -t "$TOPIC" -P -D $'\036' -z lz4 -X linger.ms=50 <"$WORK/plant" >"$WORK/kcat.log" 2>&1 &
KCAT_PID=$!
plant 4>"$WORK/plant" </dev/null >"$WORK/plant.log" 2>&1 &
PLANT_PID=$!

heading "$DURATION s of a plant: 24 machines on 3 lines, published to Kafka topic $TOPIC"
# What the columns are: samples that arrived, of these on disk and in how many parts, when the last commit was, what Kafka still holds.
ARRIVED=0
disk_bytes() { find "$WORK/store/data" -type f -printf '%s\n' 2>/dev/null | awk '{ n += $1 } END { printf "%.0f\n", n }'; }
show() { # SECOND
  local line
  metrics || return 1
  line=$(awk -v second="$1" -v before="$ARRIVED" -v bytes="$(disk_bytes)" '
    function group(n,    s) { s = ""; n = sprintf("%.0f", n); while (length(n) > 3) { s = "," substr(n, length(n) - 2) s; n = substr(n, 1, length(n) - 3) } return n s }
    { value = $NF + 0 }
    /^varve_sink_rows_total\{/ { arrived += value }
    /^varve_rows\{/ && !/kind="(inmemory|memory|raw)[a-z_]*"/ { disk += value }
    /^varve_parts\{/ && !/kind="(inmemory|memory|raw)[a-z_]*"/ && !/kind="index/ { parts += value }
    /^varve_commit_age_seconds[ {]/ { age = value }
    /^varve_kafka_lag\{/ { lag += value }
    END {
      printf "%.0f %3d s | arrived %s samples (%s/s) | on disk %s in %d part%s, %.1f KiB | last commit %.1f s ago | Kafka lag %d messages\n",
        arrived, second, group(arrived), group(arrived - before), group(disk), parts, parts == 1 ? "" : "s", bytes / 1024, age, lag
    }' "$WORK/metrics")
  ARRIVED=${line%% *}
  if [ -n "$TTY" ]; then printf '\r\e[K%s' "${line#* }"; else echo "${line#* }"; fi
}
BEGIN=${EPOCHREALTIME/./}
for ((tick = 1; ; tick++)); do
  wait=$((BEGIN + tick * 1000000 - ${EPOCHREALTIME/./}))
  [ $wait -le 0 ] || sleep "$((wait / 1000000)).$(printf %06d $((wait % 1000000)))"
  kill -0 "$VARVE_PID" 2>/dev/null || die "varve serve ended" "$WORK/varve.log"
  show $tick || die "http://$HTTP/metrics doesn't answer" "$WORK/varve.log"
  SENT=$(cat "$WORK/sent")
  if ! kill -0 "$PLANT_PID" 2>/dev/null; then
    wait "$PLANT_PID" || die "the plant's generator failed" "$WORK/plant.log"
    # Everything is published: it has a quarter of a minute to arrive.
    [ "$ARRIVED" -lt "$SENT" ] || break
    [ $tick -lt $((DURATION + 15)) ] || break
  fi
done
[ -z "$TTY" ] || echo
PLANT_PID=""
wait "$KCAT_PID" || die "publishing failed" "$WORK/kcat.log"
KCAT_PID=""

# ---------------------------------------------------------------- asking it
heading "What it knows about the alarm, asked while it runs"
echo "\$ curl -s http://$HTTP/api/v1/export -d 'match[]=alarm_active'"
for ((i = 0; i < 30; i++)); do # rows are visible within 2 s of their arrival
  curl -fsS --max-time 20 "http://$HTTP/api/v1/export" -d 'match[]=alarm_active' >"$WORK/answer" 2>"$WORK/curl.log" ||
    die "the query failed" "$WORK/curl.log"
  [ ! -s "$WORK/answer" ] || break
  sleep 0.1
done
cut -c1-600 "$WORK/answer"
[ -s "$WORK/answer" ] || [ "$DURATION" -lt 5 ] || die "the query has no answer, and should have" "$WORK/varve.log"

heading "Stopping it: flush, commit, exit"
kill -TERM "$VARVE_PID"
for ((i = 0; i < 150; i++)); do
  kill -0 "$VARVE_PID" 2>/dev/null || break
  sleep 0.1
done
kill -0 "$VARVE_PID" 2>/dev/null && die "varve serve didn't stop within 15 s" "$WORK/varve.log"
wait "$VARVE_PID"
code=$?
VARVE_PID=""
[ $code = 0 ] || die "varve serve ended with exit code $code" "$WORK/varve.log"
echo "\$ varve inspect STORE"
"$VARVE" inspect "$WORK/store" 2>"$WORK/inspect.log" | head -n 40 || die "varve inspect failed" "$WORK/inspect.log"
# Every sample, counted where it ended up.
SELECTOR={${TAGS//,/\",}\"}
STORED=$("$VARVE" export "$WORK/store" "${SELECTOR//=/=\"}" 2>"$WORK/export.log" |
  awk '{ sub(/.*"timestamps":\[/, ""); sub(/\].*/, ""); n += $0 == "" ? 0 : gsub(/,/, ",") + 1 } END { print n + 0 }') ||
  die "varve export failed" "$WORK/export.log"

heading "Summary"
printf 'published  %9d samples\nin store   %9d samples, %s bytes on disk\nmissing    %9d\nextra      %9d\n' "$SENT" "$STORED" \
  "$(disk_bytes)" $((SENT > STORED ? SENT - STORED : 0)) $((STORED > SENT ? STORED - SENT : 0))
[ "$SENT" = "$STORED" ] || die "the store doesn't hold what was published" "$WORK/varve.log"
