#!/usr/bin/env bash
# oracle.sh - the stock VictoriaMetrics servers that answers are checked against.
#
#   oracle.sh                                 fetches the current one, prints VM_NEW=PATH (use: eval "$(oracle.sh)")
#   oracle.sh backup                          vmbackup and vmrestore of the same release: VMBACKUP=PATH, VMRESTORE=PATH
#   oracle.sh all                             also VM_OLD=PATH, the 1.79.5 that Debian 12 packages
#   oracle.sh vm old|new DIR PORT [FLAG...]   runs one on loopback over the storage in DIR (log: DIR.log); returns when
#                                             it answers; prints its pid
#   oracle.sh stop PID                        SIGTERM, and waits for its end
# The current one is built by `go install`, once: about a minute on two cores, five with Go fetched and nothing cached.
set -euo pipefail
. "$(dirname "$0")/common.sh"
VM_VERSION=${VM_VERSION:-v1.151.0}

die() { echo "oracle.sh: $*" >&2; exit 1; }

vm_old() {
  testbed_need victoria-metrics victoria-metrics
  command -v victoria-metrics
}

from_release() { # NAME: a program of the current release, built at its first use; prints its path
  local out=$TESTBED_CACHE/$1-$VM_VERSION go
  if [ ! -x "$out" ]; then
    (
      flock 9
      [ ! -x "$out" ] || exit 0
      go=$(testbed_go)
      tmp=$(mktemp -d "$TESTBED_CACHE/vm.XXXXXX")
      trap 'rm -rf "$tmp"' EXIT
      GOBIN=$tmp GOFLAGS=-mod=mod "$go" install "github.com/VictoriaMetrics/VictoriaMetrics/app/$1@$VM_VERSION" >"$tmp/log" 2>&1 ||
        { tail -20 "$tmp/log" >&2; exit 1; }
      mv "$tmp/$1" "$out"
    ) 9>"$TESTBED_CACHE/.vm.lock" || die "could not build $1 $VM_VERSION"
  fi
  echo "$out"
}

vm_new() { from_release victoria-metrics; }

wait_http() { # pid url log
  local i
  for ((i = 0; i < 300; i++)); do
    kill -0 "$1" 2>/dev/null || { tail -20 "$3" >&2; die "it died"; }
    curl -fs -o /dev/null "$2" && return 0
    sleep 0.1
  done
  tail -20 "$3" >&2
  kill "$1" 2>/dev/null || true
  die "not ready after 30 s: $2"
}

case ${1:-print} in
  print) echo "VM_NEW=$(vm_new)" ;;
  backup) echo "VMBACKUP=$(from_release vmbackup)"; echo "VMRESTORE=$(from_release vmrestore)" ;;
  all) echo "VM_NEW=$(vm_new)"; echo "VM_OLD=$(vm_old)" ;;
  vm)
    case ${2:-} in old | new) bin=$("vm_$2") ;; *) die "old or new?" ;; esac
    testbed_need curl curl
    dir=$3 port=$4
    shift 4
    mkdir -p "$dir"
    "$bin" -storageDataPath="$dir" -httpListenAddr="127.0.0.1:$port" -retentionPeriod=100y -memory.allowedPercent=10 \
      -search.latencyOffset=0s -search.disableCache -loggerOutput=stderr "$@" >"$dir.log" 2>&1 </dev/null &
    pid=$!
    disown
    wait_http "$pid" "http://127.0.0.1:$port/health" "$dir.log"
    echo "$pid" ;;
  stop)
    kill "$2" 2>/dev/null || exit 0
    for ((i = 0; i < 300; i++)); do
      kill -0 "$2" 2>/dev/null || exit 0
      sleep 0.1
    done
    kill -9 "$2" ;;
  *) sed -n '2,/^set -euo/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 64 ;;
esac
