#!/usr/bin/env bash
# toxiproxy.sh - a TCP proxy on loopback that delays, throttles, cuts or resets, where a kernel's netem isn't to be had.
#
#   toxiproxy.sh start DIR API-PORT               toxiproxy.sh stop DIR
#   toxiproxy.sh proxy DIR NAME LISTEN-PORT UPSTREAM-PORT
#   toxiproxy.sh toxic DIR NAME TYPE KEY=N...     latency latency=300 jitter=50 | bandwidth rate=100 (KB/s) | timeout timeout=0
#                                                 | reset_peer timeout=0 | slow_close delay=N | limit_data bytes=N | slicer ...
#   toxiproxy.sh clear DIR NAME                   removes its toxics
#   toxiproxy.sh up|down DIR NAME                 accept or refuse connections
# For Kafka, start the broker with --set advertised.listeners=PLAINTEXT://127.0.0.1:LISTEN-PORT, so that clients stay on it.
set -euo pipefail
. "$(dirname "$0")/common.sh"
V=${TOXIPROXY_VERSION:-v2.12.0}
die() { echo "toxiproxy.sh: $*" >&2; exit 1; }
[ $# -ge 2 ] || { sed -n '2,/^set -euo/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 64; }
cmd=$1 dir=$2
shift 2

api() { curl -fsS -o /dev/null "http://127.0.0.1:$(cat "$dir/api")/$1" "${@:2}"; }

fetch() {
  local bin=$TESTBED_CACHE/toxiproxy-$V
  if [ ! -x "$bin" ]; then
    local tmp go
    go=$(testbed_go)
    tmp=$(mktemp -d "$TESTBED_CACHE/toxiproxy.XXXXXX")
    GOBIN=$tmp "$go" install "github.com/Shopify/toxiproxy/v2/cmd/server@$V" >&2 || { rm -rf "$tmp"; die "go install failed"; }
    mv "$tmp/server" "$bin"
    rm -rf "$tmp"
  fi
  echo "$bin"
}

case $cmd in
  start)
    testbed_need curl curl
    bin=$(fetch)
    mkdir -p "$dir"
    echo "$1" >"$dir/api"
    "$bin" -host 127.0.0.1 -port "$1" >"$dir/log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    disown
    for ((i = 0; i < 100; i++)); do
      if api version 2>/dev/null; then exit 0; fi
      kill -0 "$(cat "$dir/pid")" 2>/dev/null || break
      sleep 0.05
    done
    cat "$dir/log" >&2
    die "not ready" ;;
  stop)
    pid=$(cat "$dir/pid")
    kill "$pid" 2>/dev/null || exit 0
    for ((i = 0; i < 100; i++)); do
      kill -0 "$pid" 2>/dev/null || exit 0
      sleep 0.05
    done
    kill -9 "$pid" ;;
  proxy) api proxies -d "{\"name\":\"$1\",\"listen\":\"127.0.0.1:$2\",\"upstream\":\"127.0.0.1:$3\"}" ;;
  toxic)
    name=$1 type=$2 attributes=""
    shift 2
    for pair in "$@"; do attributes+=",\"${pair%%=*}\":${pair#*=}"; done
    for stream in upstream downstream; do
      api "proxies/$name/toxics" \
        -d "{\"name\":\"$type-$stream\",\"type\":\"$type\",\"stream\":\"$stream\",\"attributes\":{${attributes#,}}}"
    done ;;
  clear)
    for toxic in $(curl -fsS "http://127.0.0.1:$(cat "$dir/api")/proxies/$1/toxics" | grep -o '"name":"[^"]*"' | cut -d'"' -f4); do
      api "proxies/$1/toxics/$toxic" -X DELETE
    done ;;
  up) api "proxies/$1" -d '{"enabled":true}' ;;
  down) api "proxies/$1" -d '{"enabled":false}' ;;
  *) die "unknown command $cmd" ;;
esac
