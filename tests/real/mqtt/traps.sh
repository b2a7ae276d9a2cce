#!/usr/bin/env bash
# traps.sh BUILD_DIR [FILTER] - runs mqtt_traps of that build against a real mosquitto that it starts and ends.
#   FILTER: a name with *, for example 'trap_kill*'.  KEEP=1 leaves the broker's directory.
set -euo pipefail
build=$(cd "$1" && pwd); filter=${2:-*}
here=$(cd "$(dirname "$0")" && pwd); testbed=$here/../../testbed
dir=$(mktemp -d "${TMPDIR:-/tmp}/varve-mqtt.XXXXXX")
export MQTT_SH=$testbed/mqtt.sh MQTT_DIR=$dir/mqtt WORK_DIR=$dir
finish() {
  bash "$MQTT_SH" kill "$MQTT_DIR" >/dev/null 2>&1 || true
  [ -n "${KEEP:-}" ] || rm -rf "$dir"
}
trap finish EXIT INT TERM
mapfile -t ports < <(bash "$testbed/free-port.sh" 5)
export MQTT_PORT=${ports[0]} MQTT_PORT_AUTH=${ports[1]} MQTT_PORT_TLS=${ports[2]} MQTT_PORT_MTLS=${ports[3]} MQTT_PORT_WS=${ports[4]}
bash "$MQTT_SH" start "$MQTT_DIR" --port "$MQTT_PORT" --auth-port "$MQTT_PORT_AUTH" --tls-port "$MQTT_PORT_TLS" \
  --mtls-port "$MQTT_PORT_MTLS" --ws-port "$MQTT_PORT_WS" --inflight 0 --queued 0 --save second >/dev/null
export SLOW_RESOLVER=$build/tests/real/mqtt/libslow_resolver.so
# The preloaded library comes before the sanitizer's, which is all right.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0
LD_PRELOAD=$SLOW_RESOLVER "$build/tests/real/mqtt/mqtt_traps" "$filter"
