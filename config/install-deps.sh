#!/bin/sh
# install-deps.sh - the Debian packages that Varve is built, tried and tested with.
#
#   sh config/install-deps.sh build         compilers' and libraries' packages for the release preset
#   sh config/install-deps.sh mqtt          mosquitto, for the throw-away broker of tests and quick start
#   sh config/install-deps.sh kafka         Java and Maven, for the throw-away Kafka of tests and quick start
#   sh config/install-deps.sh quickstart    all of these, and what the quick start itself calls
#   sh config/install-deps.sh test          everything that sh tests/run.sh needs (also clang, sanitizers, Python)
#   sh config/install-deps.sh NAME...       any sets or packages by name
#   sh config/install-deps.sh --list SET    prints the set's packages, installs nothing
#   sh config/install-deps.sh --check SET   prints what is missing; exit 1 if anything is
#
# A mosquitto that is installed here is neither started nor enabled as the machine's own service.
# Only what dpkg doesn't know as installed is handed to apt-get, so a second call costs milliseconds and needs no root.
# Debian 12 is the floor; where a package goes by another name in Debian 13, the first name that apt knows is taken.
set -eu

BUILD="gcc libc6-dev cmake ninja-build pkg-config librdkafka-dev libzstd-dev libyaml-dev libmicrohttpd-dev libsystemd-dev
  libxxhash-dev libpcre2-dev zlib1g-dev liblz4-dev libsnappy-dev
  libpaho-mqtt-dev libssl-dev"
KAFKA="openjdk-17-jre-headless|openjdk-21-jre-headless|default-jre-headless maven openssl ca-certificates"
MQTT="mosquitto mosquitto-clients openssl"
QUICKSTART="$BUILD $MQTT $KAFKA kcat curl"
# clang and clang-format of version 14 where the release has them, so that formatting doesn't depend on the machine.
TEST="$QUICKSTART libcmocka-dev git clang libclang-rt-14-dev|libclang-rt-dev clang-format-14|clang-format
  libfuse3-dev fuse3 python3 python3-zstandard python3-yaml util-linux procps libasan8 libubsan1 libtsan2"

say() { echo "install-deps.sh: $*" >&2; }
usage() {
  sed -n '2,/^set -eu/p' "$0" | sed '$d; s/^# \{0,1\}//'
  exit "${1:-64}"
}
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
expand() {
  for word in "$@"; do
    case $word in
    build) printf '%s ' $BUILD ;;
    mqtt) printf '%s ' $MQTT ;;
    kafka) printf '%s ' $KAFKA ;;
    quickstart) printf '%s ' $QUICKSTART ;;
    test) printf '%s ' $TEST ;;
    *) printf '%s ' "$word" ;;
    esac
  done
}
# missing NAME|NAME...: prints the alternatives of each entry of which none is installed
missing() {
  for entry in "$@"; do
    found=""
    for name in $(echo "$entry" | tr '|' ' '); do
      if installed "$name"; then found=1; fi
    done
    [ -n "$found" ] || printf '%s ' "$entry"
  done
}
# choose NAME|NAME...: the first of the alternatives that apt could install
choose() {
  for entry in "$@"; do
    picked=""
    for name in $(echo "$entry" | tr '|' ' '); do
      if [ -z "$picked" ] && apt-cache show "$name" >/dev/null 2>&1; then picked=$name; fi
    done
    printf '%s ' "${picked:-${entry%%|*}}"
  done
}
apt() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" >"$log" 2>&1
}

mode=install
case ${1:-} in
"") usage ;;
-h | --help) usage 0 ;;
--list) mode=list && shift ;;
--check) mode=check && shift ;;
-*) usage ;;
esac
[ $# -gt 0 ] || usage
entries=$(expand "$@")
if [ $mode = list ]; then
  printf '%s\n' $entries
  exit 0
fi
command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || {
  say "this is not a Debian system. Install what these Debian packages contain: $entries"
  exit 1
}
wanted=$(missing $entries)
[ -n "$wanted" ] || exit 0
if [ $mode = check ]; then
  printf '%s\n' $wanted
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  say "missing: $wanted"
  say "run this as root: apt-get update && apt-get install -y --no-install-recommends $(choose $wanted)"
  exit 1
fi
log=$(mktemp)
policy="" services=""
case " $wanted " in
*" mosquitto "*)
  services=mosquitto
  # How Debian's maintainer scripts are told not to start what they install.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    policy=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
  fi
  ;;
esac
clean_up() {
  rm -f "$log" $policy
  [ -z "$services" ] || [ ! -d /run/systemd/system ] || systemctl --quiet disable $services 2>/dev/null || true
}
trap clean_up EXIT
trap 'exit 130' INT TERM
say "installing $wanted"
# The lists are refreshed only when they don't lead to the packages: a bare machine has none, a used one may have stale ones.
# Mirrors fail now and then, so that is tried again.
apt install --no-install-recommends $(choose $wanted) && exit 0
for pause in 0 5 15; do
  sleep $pause
  apt update && apt install --no-install-recommends $(choose $wanted) && exit 0
  ! grep -q 'Unable to locate package' "$log" || break
done
tail -n 30 "$log" >&2
say "apt-get could not install: $wanted"
exit 1
