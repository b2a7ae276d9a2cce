#!/usr/bin/env bash
# traps.sh BUILD_DIR [FILTER] - runs kafka_traps of that build against a real Kafka that it starts and ends.
#   FILTER: a name with *, for example 'trap_04*'; or group, records, positions, cluster: a part of them.  KEEP=1 leaves the broker's directory.
set -euo pipefail
build=$(cd "$1" && pwd); filter=${2:-*}
here=$(cd "$(dirname "$0")" && pwd); testbed=$here/../../testbed
dir=$(mktemp -d "${TMPDIR:-/tmp}/varve-traps.XXXXXX")
export KAFKA_SH=$testbed/kafka.sh KAFKA_DIR=$dir/kafka KT=$dir/kt KAFKA_TWO_DIR=$dir/two
finish() {
  bash "$KAFKA_SH" kill "$KAFKA_DIR" >/dev/null 2>&1 || true
  bash "$KAFKA_SH" kill "$KAFKA_TWO_DIR" >/dev/null 2>&1 || true
  [ -n "${KEEP:-}" ] || rm -rf "$dir"
}
trap finish EXIT INT TERM
cc -O2 -o "$KT" "$testbed/kt.c" -lrdkafka
mapfile -t ports < <(bash "$testbed/free-port.sh" 4)
KAFKA_TWO_CTL=${ports[3]} KAFKA_TWO_PORT=
until [ -n "$KAFKA_TWO_PORT" ]; do # two that follow each other
  port=$(bash "$testbed/free-port.sh")
  (exec 3<>"/dev/tcp/127.0.0.1/$((port + 1))") 2>/dev/null || KAFKA_TWO_PORT=$port
done
export KAFKA_TWO_CTL KAFKA_TWO_PORT
options=(--ctl-port "${ports[1]}" --heap 1024 --no-auto-create --set message.max.bytes=200000000
  --set socket.request.max.bytes=210000000 --set replica.fetch.max.bytes=200000000 --set log.cleaner.backoff.ms=1000)
bash "$KAFKA_SH" start "$KAFKA_DIR" --port "${ports[0]}" "${options[@]}" >/dev/null
export KAFKA_BOOTSTRAP=127.0.0.1:${ports[0]} KAFKA_OTHER=127.0.0.1:${ports[2]} KAFKA_OPTIONS="${options[*]}"
"$build/tests/real/kafka/kafka_traps" "$filter"
