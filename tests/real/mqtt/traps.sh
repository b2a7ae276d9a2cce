#!/usr/bin/env bash
# traps.sh BUILD_DIR [FILTER] - runs mqtt_traps of that build against mosquittos that it starts and ends.
#   FILTER: a name with *, for example 'trap_kill*'.  KEEP=1 leaves the brokers' directories.
# The groups mostly wait, so they run side by side, each with a broker of its own; those where time counts come last, alone.
# A build that can't hold PUBACKs (VARVE_MQTT_HOLD_PUBACK=OFF) has other traps in the group `held`, and none in `pace`.
# The last line is "N passed, N failed"; a trap that was skipped counts as failed.
set -euo pipefail
build=$(cd "$1" && pwd); filter=${2:-*}
here=$(cd "$(dirname "$0")" && pwd); testbed=$here/../../testbed
dir=$(mktemp -d "${TMPDIR:-/tmp}/varve-mqtt.XXXXXX")
export MQTT_SH=$testbed/mqtt.sh
traps=$build/tests/real/mqtt/mqtt_traps
groups=(delivery restart qos2 disk held network pace)
declare -A running=()
finish() {
  local group
  for group in "${!running[@]}"; do kill "${running[$group]}" 2>/dev/null || true; done
  for group in "${groups[@]}" other; do bash "$MQTT_SH" kill "$dir/$group/mqtt" >/dev/null 2>&1 || true; done
  [ -n "${KEEP:-}" ] || rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM
mapfile -t ports < <(bash "$testbed/free-port.sh" $((${#groups[@]} + 5)))

start_broker() { # GROUP PORT OPTION...
  local group=$1 port=$2
  shift 2
  mkdir -p "$dir/$group"
  bash "$MQTT_SH" start "$dir/$group/mqtt" --port "$port" --inflight 0 --queued 0 --save second "$@" >/dev/null
}
run_group() { # GROUP PORT, in a subshell, which becomes it
  export MQTT_PORT=$2 MQTT_DIR=$dir/$1/mqtt WORK_DIR=$dir/$1
  LD_PRELOAD=$SLOW_RESOLVER exec "$traps" "$1" "$filter" >"$dir/$1.txt" 2>&1
}

export MQTT_PORT_AUTH=${ports[0]} MQTT_PORT_TLS=${ports[1]} MQTT_PORT_MTLS=${ports[2]} MQTT_PORT_WS=${ports[3]} MQTT_PORT_OTHER=${ports[4]}
export SLOW_RESOLVER=$build/tests/real/mqtt/libslow_resolver.so
# The preloaded library comes before the sanitizer's, which is all right.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0
start_broker other "$MQTT_PORT_OTHER"
for i in "${!groups[@]}"; do
  group=${groups[i]} port=${ports[5 + i]} options=()
  [ "$group" != network ] || options=(--auth-port "$MQTT_PORT_AUTH" --tls-port "$MQTT_PORT_TLS" --mtls-port "$MQTT_PORT_MTLS"
    --ws-port "$MQTT_PORT_WS")
  start_broker "$group" "$port" "${options[@]}"
  [ "$group" != pace ] || break
  run_group "$group" "$port" &
  running[$group]=$!
done
failed=0
for group in "${groups[@]}"; do
  rc=0 begin=$SECONDS
  if [ "$group" = pace ]; then
    (run_group pace "$port") || rc=$?
  else
    wait "${running[$group]}" || rc=$?
    unset "running[$group]"
  fi
  echo "=== $group (exit $rc, waited $((SECONDS - begin)) s for it)"
  cat "$dir/$group.txt"
  # One that died in the middle has printed no failure of its own.
  [ $rc = 0 ] || grep -q '^\[  FAILED  \] trap_' "$dir/$group.txt" || failed=$((failed + 1))
done
passed=$(cat "$dir"/*.txt | grep -c '^\[       OK \] trap_' || true)
bad=$(cat "$dir"/*.txt | grep -E '^\[ *(FAILED|SKIPPED) *\] trap_' | cut -d: -f1 | sort -u | grep -c . || true)
failed=$((failed + bad))
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
