# common.sh - sourced by the scripts of this folder: where downloads are kept, and what is missing is installed.
#
# VARVE_TESTBED_CACHE  folder of programs fetched once (default ${XDG_CACHE_HOME:-~/.cache}/varve-testbed); no test data
# testbed_need COMMAND PACKAGE...  installs the Debian packages unless the command is there; ends the script if it can't

TESTBED=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TESTBED_CACHE=${VARVE_TESTBED_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/varve-testbed}

testbed_need() {
  local command=$1
  shift
  command -v "$command" >/dev/null || sh "$TESTBED/../../config/install-deps.sh" "$@" >&2 || exit 1
  hash -r
  command -v "$command" >/dev/null || {
    echo "$(basename "$0"): $command is still missing after installing $*" >&2
    exit 1
  }
}
