#!/bin/sh
# symbols.sh NM LIBRARY... - no function may be defined in two of our libraries: the linker would silently take
# whichever comes first, and both callers would get it.
set -eu
nm=$1
shift
[ $# -ge 2 ] || { echo "symbols.sh: at least two libraries, please" >&2; exit 64; }
for library in "$@"; do
  "$nm" --defined-only "$library" 2>/dev/null | awk 'NF == 3 && $2 == "T" {print $3}'
done | sort >"${TMPDIR:-/tmp}/varve-symbols.$$"
count=$(wc -l <"${TMPDIR:-/tmp}/varve-symbols.$$")
twice=$(uniq -d "${TMPDIR:-/tmp}/varve-symbols.$$")
rm -f "${TMPDIR:-/tmp}/varve-symbols.$$"
[ "$count" -gt 100 ] || { echo "symbols.sh: only $count functions seen: is $nm right?" >&2; exit 1; }
[ -z "$twice" ] || { echo "defined in two libraries:" $twice >&2; exit 1; }
echo "$count functions, each defined once"
