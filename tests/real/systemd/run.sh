#!/usr/bin/env bash
# run.sh BUILD_DIR - installs that build with cmake --install into a box with a real systemd, and tries the unit there: inside.sh.
# Needs root. The box is tests/testbed/systemd-box.sh's: its Debian is fetched on first use, in about a minute.
set -euo pipefail
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" = 0 ] || { echo "run.sh: needs root, for a container"; echo "0 passed, 1 failed"; exit 1; }
tree=$(mktemp -d "${TMPDIR:-/tmp}/varve-systemd.XXXXXX")
chmod 755 "$tree"
trap 'rm -rf "$tree"' EXIT
DESTDIR=$tree cmake --install "$build" --prefix /usr >/dev/null
cp "$here/inside.sh" "$tree/"
bash "$here/../../testbed/systemd-box.sh" run --tree "$tree" --private-network --timeout 200 -- bash /inside.sh
