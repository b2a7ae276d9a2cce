#!/bin/sh
# quickstart.sh - shows Varve at work: half a minute of a plant's metrics through a real broker into a store that you can query,
# with a kill -9 on the way.
#
#   sh config/quickstart.sh                        installs what is missing, builds, starts a mosquitto, devices and Varve
#   --kafka                 a Kafka in place of the MQTT broker
#   --kafka BROKER/TOPIC    your own Kafka: the plant is published into that topic, and stays there if the topic was there
#                           before; the consumer group is deleted at the end
#   --seconds N             how long the plant runs (default 30)
#   --varve PROGRAM         this varve instead of building one
#   --keep                  leave the store and its configuration, and say where they are
#
# Everything lies under one temporary directory and listens on 127.0.0.1; at the end, on an error and on Ctrl-C the programs are
# ended and the directory is deleted. Exit 0 only if every sample that was published is in the store, once; with MQTT (QoS 1)
# at least once.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
TESTBED=$ROOT/tests/testbed
export LC_ALL=C TZ=UTC
export no_proxy="127.0.0.1,localhost${no_proxy:+,$no_proxy}"

DURATION=30 SOURCE=mqtt OWN_KAFKA="" VARVE="" KEEP=""
usage() { sed -n '2,/^\[ -n/p' "$ROOT/config/quickstart.sh" | sed '$d; s/^# \{0,1\}//'; }
while [ $# -gt 0 ]; do
  case $1 in
    --kafka)
      SOURCE=kafka
      case ${2:--} in -*) ;; *) OWN_KAFKA=$2; shift ;; esac
      ;;
    --seconds) DURATION=${2:-}; shift ;;
    --varve) VARVE=${2:-}; shift ;;
    --keep) KEEP=1 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 64 ;;
  esac
  shift || break
done
[[ $DURATION =~ ^[1-9][0-9]{0,5}$ ]] || { echo "quickstart.sh: --seconds takes a whole number from 1" >&2; exit 64; }
[ -z "$OWN_KAFKA" ] || [[ $OWN_KAFKA == ?*/?* ]] || { echo "quickstart.sh: --kafka takes BROKER:PORT/TOPIC" >&2; exit 64; }

# ---------------------------------------------------------------- beginning and end
WORK=$(mktemp -d "${TMPDIR:-/tmp}/varve-quickstart.XXXXXX") || exit 1
VARVE_PID="" PLANT_PID="" BROKER_RUNS="" GROUP_USED="" TAGS=""
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
  if [ -n "$PLANT_PID" ]; then # with it go the programs that publish for it, which it would have waited for
    end_process "$PLANT_PID" 5
    [ ! -s "$WORK/publishers" ] || xargs -r kill -KILL <"$WORK/publishers" 2>/dev/null
  fi
  end_process "$VARVE_PID" 15
  source_end
  if [ -n "$KEEP" ] && [ -d "$WORK/store" ]; then
    find "$WORK" -mindepth 1 -maxdepth 1 ! -name store ! -name varve.yaml ! -name varve.log -exec rm -rf {} +
    echo "kept: $WORK"
  else
    rm -rf "$WORK"
  fi
}
quietly() { # WHAT COMMAND...: its output only if it fails
  local what=$1 start=$SECONDS
  shift
  printf '%s ... ' "$what"
  "$@" >"$WORK/step.log" 2>&1 </dev/null || { echo "failed"; die "$what failed" "$WORK/step.log"; }
  echo "done, $((SECONDS - start)) s"
}
sleep_until() { # MICROSECONDS since 1970
  local wait=$(($1 - ${EPOCHREALTIME/./}))
  [ $wait -le 0 ] || sleep "$((wait / 1000000)).$(printf %06d $((wait % 1000000)))"
}
# shellcheck source=/dev/null
. "$ROOT/config/quickstart/$SOURCE.sh" || exit 1
trap clean_up EXIT
trap 'echo; echo "stopped"; exit 130' INT TERM HUP

# ---------------------------------------------------------------- the program and the broker
heading "Getting ready"
# shellcheck disable=SC2046
sh "$ROOT/config/install-deps.sh" build curl $(source_packages) || exit 1
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
source_begin

{
  cat <<YAML
# The quick start's configuration. config/varve.yaml explains every key there is, with its default and unit.

storage:
  # A directory that a stock VictoriaMetrics opens as its -storageDataPath, once Varve has stopped.
  path: "$WORK/store"
  # This often rows go to disk, in one step with how far they were read; only then the source may forget them.
  flush_interval: 5s

sinks:
YAML
  source_yaml
  cat <<YAML

http:
  # /metrics, /health, /ready, /api/v1/export, /api/v1/series
  listen: "$HTTP"
YAML
} >"$WORK/varve.yaml"
"$VARVE" check -c "$WORK/varve.yaml" >"$WORK/check.log" 2>&1 || die "varve check refuses the configuration" "$WORK/check.log"

metrics() { curl -fsS --max-time 5 "http://$HTTP/metrics" >"$WORK/metrics" 2>/dev/null; }
start_varve() {
  local i
  "$VARVE" serve -c "$WORK/varve.yaml" >>"$WORK/varve.log" 2>&1 </dev/null &
  VARVE_PID=$!
  GROUP_USED=1
  for ((i = 0; ; i++)); do
    kill -0 "$VARVE_PID" 2>/dev/null || die "varve serve ended" "$WORK/varve.log"
    # Ready means that the store is open; the plant must not begin before the broker knows of us.
    if curl -fsS -o /dev/null --max-time 5 "http://$HTTP/ready" 2>/dev/null && metrics && source_is_ready "$WORK/metrics"; then break; fi
    [ $i -lt 300 ] || die "varve serve isn't ready after 30 s" "$WORK/varve.log"
    sleep 0.1
  done
}
printf 'starting Varve on http://%s ... ' "$HTTP"
start_varve
echo "done"
echo "its configuration, $WORK/varve.yaml, begins:"
grep -vE '^ *#' "$WORK/varve.yaml" | sed -n '/^sinks/,/^http/p' | sed '/^http/d; /^$/d; s/^/  /' | head -n 14

# ---------------------------------------------------------------- the plant
plant() {
  local second epoch iso start=${EPOCHREALTIME/./} # microseconds
  source_plant_begin || return 1
  for ((second = 0; second < DURATION; second++)); do
    # what a second brought is published when it is over
    sleep_until $((start + (second + 1) * 1000000))
    epoch=$(((start + second * 1000000) / 1000))
    printf -v iso '%(%Y-%m-%dT%H:%M:%S)T' $((epoch / 1000))
    awk -f "$ROOT/config/quickstart/plant.awk" -v mode="$SOURCE" -v second=$second -v duration="$DURATION" -v epoch=$epoch \
      -v iso="$iso" -v tags="$TAGS" -v ledger="$WORK/ledger.new" </dev/null | source_publish || return 1
    cat "$WORK/ledger.new" >>"$WORK/ledger"
    wc -l <"$WORK/ledger" >"$WORK/sent.new" && mv "$WORK/sent.new" "$WORK/sent"
  done
  source_plant_end
}
: >"$WORK/ledger"
echo 0 >"$WORK/sent"
plant </dev/null >"$WORK/plant.log" 2>&1 &
PLANT_PID=$!

heading "$DURATION s of a plant: $PLANT_IS"
sleep 1.2
source_look

heading "What arrives"
# Samples in the store, of these on disk and in how many parts, when the last commit was, what still waits.
STORED=0
disk_bytes() { find "$WORK/store/data" -type f -printf '%s\n' 2>/dev/null | awk '{ n += $1 } END { printf "%.0f\n", n }'; }
show() { # SECOND
  local line
  metrics || return 1
  line=$(awk -v second="$1" -v before="$STORED" -v bytes="$(disk_bytes)" -v backlog="$(source_backlog)" '
    function group(n,    s) { s = ""; n = sprintf("%.0f", n); while (length(n) > 3) { s = "," substr(n, length(n) - 2) s; n = substr(n, 1, length(n) - 3) } return n s }
    BEGIN { split(backlog, word, " "); name = word[1]; unit = word[2]; sub(/^[^ ]* [^ ]* /, "", backlog) }
    { value = $NF + 0 }
    /^varve_rows\{/ { rows += value }
    /^varve_rows\{/ && !/kind="(inmemory|memory|raw)[a-z_]*"/ { disk += value }
    /^varve_parts\{/ && !/kind="(inmemory|memory|raw)[a-z_]*"/ && !/kind="index/ { parts += value }
    /^varve_commit_age_seconds[ {]/ { age = value }
    index($0, name "{") == 1 { waiting += value }
    END {
      printf "%.0f %3d s | in store %s samples (%+d) | on disk %s in %d part%s, %.1f KiB | last commit %.1f s ago | " backlog "\n",
        rows, second, group(rows), rows - before, group(disk), parts, parts == 1 ? "" : "s", bytes / 1024, age, waiting / unit
    }' "$WORK/metrics")
  STORED=${line%% *}
  if [ -n "$TTY" ]; then printf '\r\e[K%s' "${line#* }"; else echo "${line#* }"; fi
}
kill_and_restart() { # a second and a half away, so that something waits for it at the broker
  [ -z "$TTY" ] || echo
  kill -KILL "$VARVE_PID"
  wait "$VARVE_PID" 2>/dev/null
  printf '%3d s | kill -9 %d ... ' "$1" "$VARVE_PID"
  VARVE_PID=""
  sleep 1.5
  printf 'started again ... '
  start_varve
  echo "and reads on where its last commit ends"
}
BEGIN=${EPOCHREALTIME/./}
KILL_AT=$((DURATION / 2)) SEEN=-1
for ((tick = 1; ; tick++)); do
  sleep_until $((BEGIN + tick * 1000000))
  kill -0 "$VARVE_PID" 2>/dev/null || die "varve serve ended" "$WORK/varve.log"
  if [ $tick = $KILL_AT ]; then
    kill_and_restart $tick 2>/dev/null
    continue
  fi
  show $tick || die "http://$HTTP/metrics doesn't answer" "$WORK/varve.log"
  if [ -n "$PLANT_PID" ] && ! kill -0 "$PLANT_PID" 2>/dev/null; then
    wait "$PLANT_PID" || { cat "$WORK/publish.log" >>"$WORK/plant.log"; die "publishing failed" "$WORK/plant.log"; }
    PLANT_PID=""
  fi
  if [ -z "$PLANT_PID" ]; then
    # Everything is published: it has a quarter of a minute to arrive, and is there when a second brings nothing more.
    [ "$STORED" -lt "$(cat "$WORK/sent")" ] || [ "$STORED" != "$SEEN" ] || break
    [ $tick -lt $((DURATION + 20)) ] || break
  fi
  SEEN=$STORED
done
[ -z "$TTY" ] || echo

# ---------------------------------------------------------------- asking it
heading "Asking it, while it runs"
for query in "${QUERIES[@]}"; do
  echo "\$ curl -s http://$HTTP/api/v1/export -d 'match[]=$query'"
  curl -fsS --max-time 20 "http://$HTTP/api/v1/export" -d "match[]=$query" >"$WORK/answer" 2>"$WORK/curl.log" ||
    die "the query failed" "$WORK/curl.log"
  cut -c1-160 "$WORK/answer" | sed '/^.\{160\}$/s/$/.../' | head -n 8
  [ -s "$WORK/answer" ] || [ "$DURATION" -lt 5 ] || die "the query has no answer, and should have" "$WORK/varve.log"
done

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
echo "\$ varve inspect $WORK/store"
"$VARVE" inspect "$WORK/store" >"$WORK/inspect" 2>"$WORK/inspect.log" || die "varve inspect failed" "$WORK/inspect.log"
head -n 30 "$WORK/inspect"

# ---------------------------------------------------------------- every sample: series, value and time
"$VARVE" export "$WORK/store" "$SELECTOR" 2>"$WORK/export.log" >"$WORK/exported" || die "varve export failed" "$WORK/export.log"
awk -v untimed="$UNTIMED" '{
  metric = $0; sub(/^\{"metric":/, "", metric); sub(/,"values":\[.*/, "", metric)
  values = $0; sub(/.*"values":\[/, "", values); sub(/\].*/, "", values)
  times = $0; sub(/.*"timestamps":\[/, "", times); sub(/\].*/, "", times)
  n = split(values, value, ","); split(times, time, ",")
  for (i = 1; i <= n; i++) print metric " " value[i] " " (metric ~ untimed ? "-" : time[i])
}' "$WORK/exported" | sort >"$WORK/stored"
sort -o "$WORK/ledger" "$WORK/ledger"
comm -23 "$WORK/ledger" "$WORK/stored" >"$WORK/missing"
comm -13 "$WORK/ledger" "$WORK/stored" >"$WORK/extra"
lines() { wc -l <"$1"; }
# What was published once and is stored twice, and what nobody published.
comm -23 <(sort -u "$WORK/extra") <(sort -u "$WORK/ledger") >"$WORK/foreign"

heading "Summary: each sample compared by series, value and time"
DOUBLED=""
[ -z "$MAY_DOUBLE" ] || [ ! -s "$WORK/extra" ] || DOUBLED=" (sent again by the broker after the kill: QoS 1 is at least once)"
printf 'published  %9d samples, in %d s\nin store   %9d samples, %s bytes on disk\nmissing    %9d\nextra      %9d%s\n' "$(lines "$WORK/ledger")" \
  "$DURATION" "$(lines "$WORK/stored")" "$(disk_bytes)" "$(lines "$WORK/missing")" "$(lines "$WORK/extra")" \
  "$DOUBLED"
head -n 3 "$WORK/missing" >"$WORK/wrong"
if [ -n "$MAY_DOUBLE" ]; then head -n 3 "$WORK/foreign"; else head -n 3 "$WORK/extra"; fi >>"$WORK/wrong"
[ ! -s "$WORK/wrong" ] || die "the store doesn't hold what was published" "$WORK/wrong"
