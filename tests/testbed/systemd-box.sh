#!/usr/bin/env bash
# systemd-box.sh - a real systemd (PID 1 of a container made with systemd-nspawn) to test a unit in.
#
#   systemd-box.sh prepare                    build the Debian root file system into the cache (once, about a minute)
#   systemd-box.sh run [options] -- CMD...    boot a fresh box, run CMD inside, power off;
#                                             exits with CMD's exit code
#   systemd-box.sh start DIR [options]        boot and leave running      systemd-box.sh exec DIR CMD...
#   systemd-box.sh stop  DIR                  clean power off             systemd-box.sh kill DIR   SIGKILL everything
#   systemd-box.sh clean DIR                  unmount and delete          (start --keep boots DIR's own files again)
#
# options of run and start
#   --tree DIR            copy its files over the root file system before it boots (repeatable), as DESTDIR of an install
#   --bind SRC:DST        bind mount read-write       --bind-ro SRC:DST   read-only   (repeatable)
#   --env K=V             for CMD (repeatable)
#   --private-network     only a loopback of its own (default: the caller's network, so a broker on 127.0.0.1 is reachable)
#   --timeout S           limit on CMD (default 300)
#   --keep                start: reuse DIR's files (e.g. after kill); run: leave DIR for inspection
# environment: BOX_PACKAGES  packages of the root file system (changing it makes another cached one)
#
# Inside work: Type=notify, WatchdogSec, Restart, DynamicUser, State/Runtime/ConfigurationDirectory, the Protect*,
# Private*, Restrict* and SystemCallFilter settings, LoadCredential, journald, `systemctl reload`, timers, sockets.
# Not enforced inside: MemoryMax/CPUWeight/IPAddressDeny (cgroup controllers are the caller's, v1); the kernel is shared.
set -euo pipefail
SUITE=bookworm
# What varve is linked with, a broker and its clients, and what a test looks with.
BOX_PACKAGES=${BOX_PACKAGES:-systemd,systemd-sysv,dbus,ca-certificates,curl,procps,mosquitto,mosquitto-clients,librdkafka1,libpaho-mqtt1.3,libyaml-0-2,libzstd1,libmicrohttpd12,libsnappy1v5,liblz4-1,libpcre2-8-0,zlib1g,libssl3,libsystemd0,libxxhash0}
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
CACHE=$TESTBED_CACHE
ROOTFS=$CACHE/rootfs-$SUITE-$(printf %s "$BOX_PACKAGES" | sha256sum | cut -c1-10)
die() { echo "systemd-box.sh: $*" >&2; exit 1; }
usage() { sed -n '2,/^set -euo/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 2; }

prepare() {
  [ "$(id -u)" = 0 ] || die "needs root"
  testbed_need systemd-nspawn systemd-container; testbed_need debootstrap debootstrap
  [ ! -e "$ROOTFS/.complete" ] || return 0
  mkdir -p "$CACHE"
  (
    flock 9; [ ! -e "$ROOTFS/.complete" ] || exit 0
    # the archive is the one that this machine's apt already uses
    local uri; uri=$(apt-get indextargets --format '$(SUITE) $(REPO_URI)' 2>/dev/null | awk -v s=$SUITE '$1==s{print $2; exit}')
    [ -n "$uri" ] || { apt-get update >/dev/null; uri=$(apt-get indextargets --format '$(SUITE) $(REPO_URI)' | awk -v s=$SUITE '$1==s{print $2; exit}'); }
    rm -rf "$ROOTFS"; mkdir -p "$ROOTFS"
    debootstrap --variant=minbase --include="$BOX_PACKAGES" $SUITE "$ROOTFS" "$uri" >"$ROOTFS.log" 2>&1 || { tail -20 "$ROOTFS.log" >&2; exit 1; }
    # apt inside works like apt outside (same sources, proxy and certificates), for packages with further dependencies
    rm -rf "$ROOTFS/etc/apt/sources.list" "$ROOTFS/etc/apt/sources.list.d"
    cp -rL /etc/apt/sources.list* "$ROOTFS/etc/apt/" 2>/dev/null || true
    mkdir -p "$ROOTFS/etc/apt/sources.list.d"
    cp -rL /etc/apt/apt.conf.d/. "$ROOTFS/etc/apt/apt.conf.d/" 2>/dev/null || true
    cp -rL /etc/apt/keyrings "$ROOTFS/etc/apt/" 2>/dev/null || true
    cp -L /usr/share/keyrings/*.gpg "$ROOTFS/usr/share/keyrings/" 2>/dev/null || true
    cp -L /etc/ssl/certs/ca-certificates.crt "$ROOTFS/etc/ssl/certs/" 2>/dev/null || true
    rm -f "$ROOTFS"/etc/apt/apt.conf.d/*clean*
    chroot "$ROOTFS" apt-get update >/dev/null 2>&1 || true
    # quieter and faster boot
    for u in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer dpkg-db-backup.timer getty.target \
      systemd-logind.service systemd-update-utmp.service systemd-sysctl.service mosquitto.service; do
      ln -sf /dev/null "$ROOTFS/etc/systemd/system/$u"; done
    echo box >"$ROOTFS/etc/hostname"; : >"$ROOTFS/.complete"
  ) 9>"$CACHE/.rootfs.lock" || die "could not build the root file system"
}

leader() { # pid of the box's PID 1
  local np p; [ -s "$DIR/pid" ] || return 1; np=$(cat "$DIR/pid")
  for p in $(cat "/proc/$np/task/"*/children 2>/dev/null); do
    [ "$(awk '/^NSpid/{print $NF}' "/proc/$p/status" 2>/dev/null)" = 1 ] && { echo "$p"; return 0; }; done; return 1
}
inside() { local l; l=$(leader) || die "the box is not running"
  nsenter -t "$l" -m -u -i -n -p -C -r -w -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/root LANG=C.UTF-8 ${ENVS[@]+"${ENVS[@]}"} "$@"; }
unmount() { umount "$DIR/root" 2>/dev/null || umount -l "$DIR/root" 2>/dev/null || true; }

boot() {
  local i l; prepare; mkdir -p "$DIR"; DIR=$(cd "$DIR" && pwd)
  leader >/dev/null && die "already running in $DIR"
  unmount
  [ -n "$KEEP_FILES" ] || rm -rf "$DIR/upper" "$DIR/work"
  mkdir -p "$DIR/upper" "$DIR/work" "$DIR/root"
  mount -t overlay overlay -o "lowerdir=$ROOTFS,upperdir=$DIR/upper,workdir=$DIR/work" "$DIR/root"
  local tree; for tree in ${TREES[@]+"${TREES[@]}"}; do tar -C "$tree" -c . | tar -C "$DIR/root" -x --no-same-owner --no-overwrite-dir --keep-directory-symlink; done
  local -a a=(-q -D "$DIR/root" --boot --register=no --keep-unit --machine="box$$" --hostname=box --resolv-conf=copy-host
    --console=pipe --kill-signal=SIGRTMIN+4)
  [ -z "$PRIVATE" ] || a+=(--private-network)
  # each box in control groups of its own (nspawn's --keep-unit stays in the caller's), so that several can run at once
  echo "box-$$" >"$DIR/cgroup"
  setsid sh -c 'n=$1; shift; for h in systemd unified; do [ ! -d /sys/fs/cgroup/$h ] || { mkdir -p /sys/fs/cgroup/$h/$n && echo $$ >/sys/fs/cgroup/$h/$n/cgroup.procs; }; done
    exec systemd-nspawn "$@"' sh "box-$$" "${a[@]}" ${BINDS[@]+"${BINDS[@]}"} >"$DIR/console.log" 2>&1 </dev/null &
  echo $! >"$DIR/pid"; disown
  for i in $(seq 1 200); do
    kill -0 "$(cat "$DIR/pid")" 2>/dev/null || { tail -20 "$DIR/console.log" >&2; unmount; die "the box did not boot"; }
    if l=$(leader) && nsenter -t "$l" -m -p -- test -S /run/systemd/private 2>/dev/null; then break; fi; sleep 0.05; done
  local st=""; for i in $(seq 1 300); do st=$(inside systemctl is-system-running 2>/dev/null || true)
    case $st in running | degraded | maintenance) break ;; esac; sleep 0.1; done
  [ "$st" = running ] || echo "systemd-box.sh: state after boot: ${st:-unknown}" >&2
}
halt() { # clean?
  local np l i; [ -s "$DIR/pid" ] || return 0; np=$(cat "$DIR/pid")
  if l=$(leader); then
    if [ "$1" = clean ]; then kill -RTMIN+4 "$l"; else kill -9 "$l"; fi
    for i in $(seq 1 600); do kill -0 "$np" 2>/dev/null || break; sleep 0.05; done
    kill -9 "$l" 2>/dev/null || true
  fi
  for i in $(seq 1 40); do kill -0 "$np" 2>/dev/null || break; sleep 0.05; done
  rm -f "$DIR/pid"; unmount
  local n; n=$(cat "$DIR/cgroup" 2>/dev/null) && for h in systemd unified; do
    [ ! -d "/sys/fs/cgroup/$h/$n" ] || find "/sys/fs/cgroup/$h/$n" -depth -type d -exec rmdir {} + 2>/dev/null || true; done
}
parse() {
  TREES=(); BINDS=(); ENVS=(); PRIVATE=""; TIMEOUT=300; KEEP_FILES=""; REST=()
  while [ $# -gt 0 ]; do case $1 in
    --tree) TREES+=("$(readlink -e "$2")") || die "no such file: $2"; shift ;; --bind) BINDS+=("--bind=$2"); shift ;; --bind-ro) BINDS+=("--bind-ro=$2"); shift ;;
    --env) ENVS+=("$2"); shift ;; --private-network) PRIVATE=1 ;; --timeout) TIMEOUT=$2; shift ;; --keep) KEEP_FILES=1 ;;
    --) shift; REST=("$@"); return ;; *) die "unknown option $1" ;; esac; shift; done
}
ENVS=()
cmd=${1:-}; [ $# -eq 0 ] || shift
case $cmd in
  prepare) prepare; echo "$ROOTFS" ;;
  run) parse "$@"; [ ${#REST[@]} -gt 0 ] || usage
    keep=$KEEP_FILES; KEEP_FILES=""; DIR=$(mktemp -d "${TMPDIR:-/tmp}/systemd-box.XXXXXX")
    trap 'halt kill; [ -n "$keep" ] || rm -rf --one-file-system "$DIR"' EXIT
    trap 'exit 130' INT TERM
    boot; rc=0
    inside timeout "$TIMEOUT" "${REST[@]}" || rc=$?
    halt clean; echo "systemd-box.sh: exit code $rc${keep:+, files in $DIR}" >&2; exit $rc ;;
  start) [ $# -ge 1 ] || usage; DIR=$1; shift; parse "$@"; boot; echo "leader $(leader)" ;;
  exec) DIR=$1; shift; inside "$@" ;;
  stop) DIR=$1; halt clean ;;
  kill) DIR=$1; halt kill ;;
  clean) DIR=$1; halt kill; rm -rf --one-file-system "$DIR" ;;
  *) usage ;;
esac
