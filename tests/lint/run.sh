#!/bin/sh
# run.sh - the lint: its own test, the rules of lint.py over the tree, and clang-format over the C sources.
# Needs python3 and clang-format 14 (another version formats otherwise); installs what is missing where it may.
#   sh tests/lint/run.sh            check
#   sh tests/lint/run.sh --fix      format the C sources in place first
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export PYTHONDONTWRITEBYTECODE=1
failed=0

command -v python3 >/dev/null || sh "$root/config/install-deps.sh" python3
format=$(bash "$here/../testbed/clang-format.sh")

if [ "${1:-}" = --fix ]; then
  find "$root/src" "$root/sinks" "$root/storage" "$root/config" "$root/tests" -name '*.[ch]' ! -path "$root/tests/testbed/*" \
    -exec "$format" -i {} +
fi
echo "lint: its own test"
python3 "$here/test_lint.py" || failed=1
echo "lint: rules"
python3 "$here/lint.py" "$root" || failed=1
echo "lint: clang-format"
find "$root/src" "$root/sinks" "$root/storage" "$root/config" "$root/tests" -name '*.[ch]' ! -path "$root/tests/testbed/*" \
  -exec "$format" --dry-run --ferror-limit=1 -Werror {} + || failed=1
[ $failed = 0 ] && echo "lint: nothing found"
exit $failed
