#!/usr/bin/env bash
# crashfs.sh - mount and unmount crashfs (see crashfs.c and crashstates.py).
#   crashfs.sh start DIR     DIR/mnt is the place to write to, DIR/back keeps the files, DIR/journal the record of changes
#                            (what already lies in DIR/back counts as durable)
#   crashfs.sh ctl DIR LINE  a control line: mark TEXT | fail OP ERRNO [N [M]] | space BYTES | delay OP MS | short N | kill PID N | reset
#   crashfs.sh stop DIR
# then: crashstates.py DIR/journal --check 'CMD'
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cmd=${1:-}; dir=${2:-}
[ -n "$dir" ] || { sed -n '2,7p' "$0" | sed 's/^# \{0,1\}//'; exit 2; }
case $cmd in
  start) eval "$(bash "$here/build.sh")"; bin=$CRASHFS; mkdir -p "$dir/back" "$dir/mnt"
    "$bin" "$dir/back" "$dir/mnt" "$dir/journal" >"$dir/log" 2>&1 </dev/null & pid=$!; disown
    for _ in $(seq 1 100); do [ -e "$dir/mnt/.crashfs" ] && { echo $pid >"$dir/pid"; exit 0; }
      kill -0 $pid 2>/dev/null || break; sleep 0.05; done
    cat "$dir/log" >&2; exit 1 ;;
  ctl) shift 2; printf '%s\n' "$*" >"$dir/mnt/.crashfs" ;;
  stop) fusermount3 -u "$dir/mnt" || { sleep 0.3; fusermount3 -uz "$dir/mnt"; }
    pid=$(cat "$dir/pid"); for _ in $(seq 1 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done; rm -f "$dir/pid" ;;
  *) exit 2 ;;
esac
