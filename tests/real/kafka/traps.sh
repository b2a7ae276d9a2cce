#!/usr/bin/env bash
# traps.sh BUILD_DIR [FILTER] - runs kafka_traps of that build against real Kafkas that it starts and ends.
#   FILTER: a name with *, for example 'trap_04*'; or group, records, positions, cluster: a part of them.  KEEP=1 leaves the brokers' directories.
# The parts mostly wait, for sessions to time out and brokers to start, so they run side by side, each with a broker of its own.
# The last line is "N passed, N failed"; a trap that was skipped counts as failed.
set -euo pipefail
build=$(cd "$1" && pwd); filter=${2:-}
here=$(cd "$(dirname "$0")" && pwd); testbed=$here/../../testbed
dir=$(mktemp -d "${TMPDIR:-/tmp}/varve-traps.XXXXXX")
export KAFKA_SH=$testbed/kafka.sh KT=$dir/kt
lanes=(group "records positions" cluster) # of about the same length
[ -z "$filter" ] || lanes=("$filter")
running=()
finish() {
  local pid broker
  for pid in ${running[@]+"${running[@]}"}; do kill "$pid" 2>/dev/null || true; done
  for broker in "$dir"/*/kafka "$dir"/*/two; do
    [ ! -d "$broker" ] || bash "$KAFKA_SH" kill "$broker" >/dev/null 2>&1 || true
  done
  [ -n "${KEEP:-}" ] || rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM
cc -O2 -o "$KT" "$testbed/kt.c" -lrdkafka
# Of each lane: the broker's, its controller's, the one it moves to, the controller's of two brokers.
mapfile -t ports < <(bash "$testbed/free-port.sh" $((4 * ${#lanes[@]})))

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
two_ports() { # two that follow each other, of which no lane has one
  local port
  while :; do
    port=$(bash "$testbed/free-port.sh")
    case " ${ports[*]} " in *" $port "* | *" $((port + 1)) "*) continue ;; esac
    ! port_is_free $((port + 1)) || break
  done
  ports+=("$port" $((port + 1)))
}

run_lane() { # INDEX PORT, in a subshell, which becomes it
  local -a own=("${ports[@]:$((4 * $1)):4}")
  export KAFKA_DIR=$dir/$1/kafka KAFKA_TWO_DIR=$dir/$1/two KAFKA_TWO_PORT=$2 KAFKA_TWO_CTL=${own[3]}
  export KAFKA_BOOTSTRAP=127.0.0.1:${own[0]} KAFKA_OTHER=127.0.0.1:${own[2]}
  export KAFKA_OPTIONS="--ctl-port ${own[1]} --heap 1024 --no-auto-create --set message.max.bytes=200000000
    --set socket.request.max.bytes=210000000 --set replica.fetch.max.bytes=200000000 --set log.cleaner.backoff.ms=1000"
  KAFKA_OPTIONS=$(echo $KAFKA_OPTIONS)
  # shellcheck disable=SC2086 -- several words
  bash "$KAFKA_SH" start "$KAFKA_DIR" --port "${own[0]}" $KAFKA_OPTIONS >/dev/null
  # shellcheck disable=SC2086
  set -f && exec "$build/tests/real/kafka/kafka_traps" ${lanes[$1]}
}

for i in "${!lanes[@]}"; do
  mkdir "$dir/$i"
  two_ports
  (run_lane "$i" "${ports[-2]}") >"$dir/$i.txt" 2>&1 &
  running+=($!)
done
failed=0 good=() bad=()
for i in "${!lanes[@]}"; do
  rc=0 begin=$SECONDS
  wait "${running[$i]}" || rc=$?
  echo "=== ${lanes[$i]} (exit $rc, waited $((SECONDS - begin)) s for it)" >"$dir/$i.head"
  [ $rc = 0 ] && good+=("$i") || bad+=("$i")
  # One that died in the middle has printed no failure of its own.
  [ $rc = 0 ] || grep -qE '^\[  FAILED  \] [a-z]' "$dir/$i.txt" || failed=$((failed + 1))
done
running=()
for i in ${good[@]+"${good[@]}"} ${bad[@]+"${bad[@]}"}; do cat "$dir/$i.head" "$dir/$i.txt"; done
passed=$(cat "$dir"/*.txt | grep -cE '^\[       OK \] ' || true)
not_passed=$(cat "$dir"/*.txt | grep -E '^\[ *(FAILED|SKIPPED) *\] [a-z]' | cut -d: -f1 | sort -u | grep -c . || true)
failed=$((failed + not_passed))
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
