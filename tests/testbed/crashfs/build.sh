#!/usr/bin/env bash
# Builds crashfs, nosync.so and stall.so into the cache; prints CRASHFS=PATH, NOSYNC=PATH, STALL=PATH (use: eval "$(build.sh)").
set -euo pipefail
. "$(dirname "$0")/../common.sh"
here=$TESTBED/crashfs
built() { # SOURCE: where the program made of this version of it belongs
  echo "$TESTBED_CACHE/$(basename "$1" .c)-$(sha256sum "$1" | cut -c1-12)"
}
compile() { # OUT COMPILER-ARGUMENT...
  local out=$1
  shift
  [ -x "$out" ] || { "${CC:-cc}" -std=gnu11 -O2 -g -Wall -Wextra -o "$out.$$" "$@" && mv "$out.$$" "$out"; }
}
crashfs=$(built "$here/crashfs.c")
nosync=$(built "$here/nosync.c").so
stall=$(built "$here/stall.c").so
testbed_need fusermount3 fuse3
testbed_need cc gcc libc6-dev
if [ ! -x "$crashfs" ]; then
  testbed_need pkg-config pkg-config
  pkg-config --exists fuse3 || sh "$TESTBED/../../config/install-deps.sh" libfuse3-dev >&2
  # shellcheck disable=SC2046 -- words on purpose
  compile "$crashfs" "$here/crashfs.c" $(pkg-config --cflags --libs fuse3)
fi
compile "$nosync" -shared -fPIC "$here/nosync.c" -ldl
compile "$stall" -shared -fPIC "$here/stall.c" -ldl
echo "CRASHFS=$crashfs"
echo "NOSYNC=$nosync"
echo "STALL=$stall"
