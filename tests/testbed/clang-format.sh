#!/usr/bin/env bash
# clang-format.sh - prints a clang-format of version 14, the one that the sources are formatted with: the machine's,
# else Debian 12's package, else (Debian 13 has newer ones only) the wheel that carries it.
set -euo pipefail
. "$(dirname "$0")/common.sh"
is_14() { command -v "$1" >/dev/null && "$1" --version | grep -q 'version 14\.'; }
for format in clang-format-14 clang-format; do
  if is_14 "$format"; then
    command -v "$format"
    exit
  fi
done
if apt-cache show clang-format-14 >/dev/null 2>&1 && sh "$TESTBED/../../config/install-deps.sh" clang-format-14; then
  command -v clang-format-14
  exit
fi
venv=$(testbed_venv)
[ -x "$venv/bin/clang-format" ] || "$venv/bin/pip" -q install 'clang-format==14.*' >&2
echo "$venv/bin/clang-format"
