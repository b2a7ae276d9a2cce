#!/usr/bin/env bash
# python.sh - prints a Python 3 that has what the tests import (zstandard): the one on PATH if it does, else Debian's.
set -euo pipefail
. "$(dirname "$0")/common.sh"
for python in python3 /usr/bin/python3; do
  if "$python" -c 'import zstandard' 2>/dev/null; then
    command -v "$python"
    exit
  fi
done
sh "$TESTBED/../../config/install-deps.sh" python3 python3-zstandard
/usr/bin/python3 -c 'import zstandard'
echo /usr/bin/python3
