#!/usr/bin/env bash
# selftest.sh - a correct store passes every crash state; three usual mistakes are each found; faults act.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); work=$(mktemp -d); trap 'bash "$here/crashfs.sh" stop "$work/d" 2>/dev/null || true; rm -rf "$work"' EXIT
cat >"$work/store.py" <<'PY'
import os, sys
top, bug = sys.argv[1], sys.argv[2]
def ctl(s): open(top + "/.crashfs", "w").write(s + "\n")
def sync(path):
    fd = os.open(path, os.O_RDONLY); os.fsync(fd); os.close(fd)
log = os.open(top + "/log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
if bug != "nodirsync": sync(top)
for n in range(20):
    os.write(log, b"%06d:" % n + bytes([65 + n]) * 1500 + b"\n")
    if bug != "nofsync": os.fdatasync(log)
    ctl(f"mark acked {n}")
    if n % 5 == 4:                                   # a snapshot: tmp, fsync, rename, fsync of the directory
        t = top + "/snap.tmp"
        with open(t, "wb") as f:
            f.write(b"snap %06d " % n + b"x" * 5000 + b" end\n"); f.flush()
            if bug != "renamefirst": os.fsync(f.fileno())
        os.rename(t, top + "/snap")
        sync(top)
        ctl(f"mark snap {n}")
PY
cat >"$work/check.py" <<'PY'
import os, sys
d = os.environ["CRASH_DIR"]; marks = [l.split() for l in open(os.environ["CRASH_MARKS"])]
acked = max([int(m[1]) for m in marks if m[0] == "acked"], default=-1)
snap = max([int(m[1]) for m in marks if m[0] == "snap"], default=-1)
data = open(d + "/log", "rb").read() if os.path.exists(d + "/log") else b""
good = 0
for n in range(20):                                  # the valid prefix of the log
    r = b"%06d:" % n + bytes([65 + n]) * 1500 + b"\n"
    if data[n * len(r):(n + 1) * len(r)] != r: break
    good = n + 1
if good <= acked: sys.exit(f"record {acked} was acknowledged, the log has {good}")
if snap >= 0 and not os.path.exists(d + "/snap"): sys.exit("the snapshot is missing")
if os.path.exists(d + "/snap"):
    s = open(d + "/snap", "rb").read()
    if not s.endswith(b" end\n") or int(s[5:11]) < snap: sys.exit(f"bad snapshot: {s[:12]!r} of {len(s)} bytes, promised {snap}")
PY
fail=0
for bug in none nofsync nodirsync renamefirst; do
  rm -rf "$work/d"; bash "$here/crashfs.sh" start "$work/d"
  python3 "$work/store.py" "$work/d/mnt" $bug
  bash "$here/crashfs.sh" stop "$work/d"
  if out=$(python3 "$here/crashstates.py" "$work/d/journal" --check "python3 $work/check.py" --points fsync --rand 3); then r=clean; else r=found; fi
  echo "$bug: $(tail -1 <<<"$out") -> $r"
  if [ $bug = none ]; then [ $r = clean ] || { echo "$out"; fail=1; }; else [ $r = found ] || fail=1; fi
done
rm -rf "$work/d"; bash "$here/crashfs.sh" start "$work/d"; m=$work/d/mnt
bash "$here/crashfs.sh" ctl "$work/d" fail fsync 5 1
python3 - "$m" <<'PY' || fail=1
import errno, mmap, os, sys
top = sys.argv[1]; ctl = lambda s: open(top + "/.crashfs", "w").write(s + "\n")
f = os.open(top + "/a", os.O_CREAT | os.O_RDWR)
def err(call, *a):
    try: call(*a); return 0
    except OSError as e: return e.errno
os.write(f, b"x" * 10); assert err(os.fsync, f) == errno.EIO; assert err(os.fsync, f) == 0
ctl("space 5"); assert os.write(f, b"y" * 10) == 5; assert err(os.write, f, b"z") == errno.ENOSPC; ctl("reset")
os.ftruncate(f, 8192); m = mmap.mmap(f, 8192); m[4096:4100] = b"mmap"; m.flush(); m.close()
os.unlink(top + "/a"); os.write(f, b"after unlink"); assert os.pread(f, 4, 4096) == b"mmap"; os.close(f)
os.mkdir(top + "/d"); os.rename(top + "/d", top + "/e"); os.symlink("e", top + "/l"); assert os.listdir(top + "/e") == []
PY
bash "$here/crashfs.sh" stop "$work/d"
python3 "$here/crashstates.py" "$work/d/journal" --list >"$work/list"
grep -q 'WRITE.*off=4096' "$work/list" || { echo "mmap write not in the journal"; fail=1; }
[ $fail = 0 ] && echo "selftest: ok" || { echo "selftest: FAILED"; exit 1; }
