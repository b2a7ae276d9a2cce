#!/bin/sh
# run.sh - builds Varve in every way that matters and runs its tests. Works on a bare Debian 12: installs what is missing.
#
#   sh tests/run.sh                 everything a change has to pass (under 25 minutes on two cores)
#   sh tests/run.sh --full          also the long tests: more kills, more samples, longer fuzzing, benchmarks
#   sh tests/run.sh --only NAME     only the steps of that name (repeatable; * and ? match; builds that they need are made)
#   sh tests/run.sh --list          the steps
#   --build-root DIR                where the presets are built (default: build)
#
# The last line is "N passed, N failed": test programs of ctest, checks of the tests against real servers, and steps
# that have no smaller parts. Exit 0 only if everything that was asked for ran and passed; a test that can't run fails.
# Tests listen on 127.0.0.1 only. A step that passes but leaves a process or a temporary file behind has failed.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
cd "$ROOT" || exit 1
JOBS=$(nproc)

usage() { sed -n '2,/^\[ -n/p' "$ROOT/tests/run.sh" | sed '$d; s/^# \{0,1\}//'; }

# ---------------------------------------------------------------- the steps
# step NAME quick|full PRESET|- SECONDS HEADING COMMAND...
# PRESET (several: a+b) is built first, @BUILD@ in the command is the first one's folder, @ROOT@ the folder of all presets,
# @PYTHON@ a Python with what the tests import.
# A command that ends with a line "N passed, N failed" counts as these, any other as one test.
NAMES=() CLASSES=() PRESETS=() LIMITS=() HEADINGS=() COMMANDS=()
step() {
  NAMES+=("$1") CLASSES+=("$2") PRESETS+=("$3") LIMITS+=("$4") HEADINGS+=("$5")
  shift 5
  COMMANDS+=("$(printf '%q ' "$@")")
}

step lint          quick -       120  "rules of the tree, format"                  sh tests/lint/run.sh
step testbed       quick -       900  "real servers for the tests: Kafka, VictoriaMetrics" fetch_testbed
step build-dev     quick -       900  "gcc, lock order and fault points checked"   build dev
step unit-dev      quick dev     600  "unit tests"                                 unit dev
step build-asan    quick -       900  "gcc, address and undefined behaviour"       build asan
step unit-asan     quick asan    900  "unit tests under ASan and UBSan"            unit asan
step build-tsan    quick -       900  "gcc, data races"                            build tsan
step unit-tsan     quick tsan    900  "unit tests under TSan"                      unit tsan
step build-clang   full  -       900  "clang as in dev"                            build clang
step unit-clang    full  clang   600  "unit tests, compiled by clang"              unit clang
step build-fuzz    quick -       900  "clang with its warnings and lock analysis, ASan, libFuzzer" build fuzz
step unit-fuzz     full  fuzz    900  "unit tests, compiled by clang, under its ASan and UBSan" unit fuzz
step fuzz          quick fuzz    900  "each reader and decoder: its corpus, and 10 s of fuzzing" \
                                                     @PYTHON@ tests/fuzz/run.py --build @BUILD@ --seconds 10
step fuzz-long     full  fuzz    7200 "10 minutes of fuzzing each"  @PYTHON@ tests/fuzz/run.py --build @BUILD@ --seconds 600
step build-release quick -       900  "gcc, as installed"                          build release
step unit-release  full  release 600  "unit tests of what is installed"            unit release
step install       quick release 120  "cmake --install, and the program it puts in place" check_install
step quickstart    quick release 300  "the quick start with MQTT, a kill -9 in it" sh config/quickstart.sh --varve @BUILD@/src/varve --seconds 8
step quickstart-kafka quick release 300 "the same with Kafka"   sh config/quickstart.sh --kafka --varve @BUILD@/src/varve --seconds 8
step systemd       full  release 600  "varve.service under a real systemd, as installed" bash tests/real/systemd/run.sh @BUILD@
step fallback      quick -       600  "without paho's static library: it builds, takes messages, and says what isn't covered" check_fallback
# Against real servers. A new one is a line here.
step influx        quick asan    600  "influx decoder beside stock VictoriaMetrics, under ASan" influx_oracle @BUILD@ 2000
step influx-long   full  dev     3600 "the same with 50,000 groups of lines"       influx_oracle @BUILD@ 50000
step decoders      quick asan    600  "remote write and JSON lines beside stock VictoriaMetrics, under ASan" decode_oracle @BUILD@ 1000
step decoders-long full  dev     3600 "the same with 20,000 payloads of each"      decode_oracle @BUILD@ 20000
step formats       quick asan    300  "every format over Kafka and MQTT, in each compression; stock VictoriaMetrics is the judge, under ASan" \
                                                     @PYTHON@ tests/real/formats.py --build @BUILD@
step e2e           quick release 900  "1,000,000 samples from Kafka; stock VictoriaMetrics opens the store" \
                                                     @PYTHON@ tests/real/e2e.py --build @BUILD@ --samples 1000000
step e2e-asan      quick asan    900  "the same with 50,000 under ASan"  @PYTHON@ tests/real/e2e.py --build @BUILD@ --samples 50000
step e2e-tsan      quick tsan    900  "the same with 50,000 under TSan"  @PYTHON@ tests/real/e2e.py --build @BUILD@ --samples 50000
step mqtt-e2e      quick release 900  "500,000 messages from an MQTT broker; stock VictoriaMetrics opens the store" \
                                                     @PYTHON@ tests/real/mqtt_e2e.py --build @BUILD@ --messages 500000
step mqtt-e2e-asan quick asan    900  "the same with 20,000 under ASan"  @PYTHON@ tests/real/mqtt_e2e.py --build @BUILD@ --messages 20000 --topics 500
step mqtt-e2e-tsan full  tsan    900  "the same with 20,000 under TSan"  @PYTHON@ tests/real/mqtt_e2e.py --build @BUILD@ --messages 20000 --topics 500
step mqtt-e2e-long full  release 3600 "the same with 1,000,000 over 4,000 topics" \
                                                     @PYTHON@ tests/real/mqtt_e2e.py --build @BUILD@ --messages 1000000 --topics 4000
step mqtt-hivemq   full  release 900  "the same with another broker, HiveMQ CE: 50,000 messages" \
                                                     @PYTHON@ tests/real/mqtt_e2e.py --build @BUILD@ --broker hivemq --messages 50000 --topics 1000
step kill          quick release+dev 900 "20 kills -9 in 2 million samples, half of them at each step of a commit; and that wrong builds are found" \
                                                     @PYTHON@ tests/real/kill.py --build @BUILD@ --fault-build @ROOT@/dev --kills 20 --samples 2000000 --proof
step kill-long     full  release+dev 3600 "the same with 200 in 20 million" \
                                                     @PYTHON@ tests/real/kill.py --build @BUILD@ --fault-build @ROOT@/dev --kills 200 --samples 20000000 --proof
step kill-fenced   full  release+dev 3600 "30 kills with fenced_commits, also around the group's decision" \
                                                     env VARVE_TEST_FENCED=1 @PYTHON@ tests/real/kill.py --build @BUILD@ --fault-build @ROOT@/dev --kills 30
step kill-tsan     full  tsan    3600 "the same under TSan, 20 in 200,000" \
                                                     @PYTHON@ tests/real/kill.py --build @BUILD@ --kills 20 --samples 200000 --rate 10000
step powercut      quick dev     300  "the power is lost: what was called durable is there, and no half commit" \
                                                     @PYTHON@ tests/real/powercut.py --build @BUILD@ --points 40 --kills 3 --commits 40 --restart-step 40 --no-proof
step powercut-long full  dev     3600 "the same at more points, and the fsyncs that it would miss" \
                                                     @PYTHON@ tests/real/powercut.py --build @BUILD@ --points 300 --kills 12 --followers 4 --rand 2 --restart-step 1 --proof-points 60
step crash-states  quick dev     600  "each state that a power loss may leave of flushes from Kafka and MQTT into two months" \
                                                     @PYTHON@ tests/real/crash_states.py --build @BUILD@ --rand 2
step crash-states-long full dev  7200 "the same with 20 random states of each point, and each kind of fsync left out" \
                                                     @PYTHON@ tests/real/crash_states.py --build @BUILD@ --rand 20 --proof
step full-disk     quick release 300  "the disk is full and freed again, twice, while a producer runs" \
                                                     @PYTHON@ tests/real/full_disk.py --build @BUILD@ --cycles 2
step full-disk-long full release 900  "the same, ten times"     @PYTHON@ tests/real/full_disk.py --build @BUILD@ --cycles 10
step full-disk-ext4 full release 900  "the same on ext4"        @PYTHON@ tests/real/full_disk.py --build @BUILD@ --cycles 10 --fs ext4
step mqtt-kill     quick release+dev 600 "kill -9 at random moments and fault points, 100,000 MQTT messages: none missing, none twice" \
                                                     @PYTHON@ tests/real/mqtt_kill.py --build @BUILD@ --fault-build @ROOT@/dev --kills 5 --messages 100000 --rate 3000
step mqtt-kill-long full release+dev 3600 "the same, 50 kills over 2 million, and that what acknowledges too early or stores twice is found" \
                                                     @PYTHON@ tests/real/mqtt_kill.py --build @BUILD@ --fault-build @ROOT@/dev --kills 50 --messages 2000000 --rate 8000 --proof
step mqtt-kill-hivemq full release+dev 1800 "kills with HiveMQ, which gives out packet ids again at once: none missing" \
                                                     @PYTHON@ tests/real/mqtt_kill.py --build @BUILD@ --fault-build @ROOT@/dev --kills 10 --rate 1000 --broker hivemq
step powercut-two-phase full dev 1800 "the same with commits that need a verdict" \
                                                     @PYTHON@ tests/real/powercut.py --build @BUILD@ --points 100 --kills 6 --restart-step 7 --verdicts
step mqtt-powercut quick dev     600  "the power is lost: no message that MQTT's PUBACK went out for is missing, none is there twice" \
                                                     @PYTHON@ tests/real/mqtt_powercut.py --build @BUILD@ --cuts 2 --points 8
step mqtt-powercut-long full dev 3600 "the same 12 times at more points, and the fsyncs that it would miss" \
                                                     @PYTHON@ tests/real/mqtt_powercut.py --build @BUILD@ --cuts 12 --points 30 --rand 2 --proof
step merge-oracle  quick release 300  "forced merges make the blocks that a stock server makes of the same parts" \
                                                     @PYTHON@ tests/real/merge_oracle.py --build @BUILD@
step lifecycle     quick release 300  "a month of 10,000,000 rows: few parts, one after a forced merge, each series as a stock server finds it" \
                                                     @PYTHON@ tests/real/lifecycle.py --build @BUILD@
step lifecycle-long full release 3600 "the same with 200,000,000 rows" \
                                                     @PYTHON@ tests/real/lifecycle.py --build @BUILD@ --rows 200000000 --commits 8640
step retention     quick release+dev 300 "retention over a stock directory, killed at each step; a stock server over what remains" \
                                                     @PYTHON@ tests/real/retention.py --build @BUILD@ --fault-build @ROOT@/dev
step day-end       quick release 300  "index rows made ahead for the next month, beside stock VictoriaMetrics" @PYTHON@ tests/real/day_end.py --build @BUILD@
step dedup         quick release 300  "deduplication beside stock VictoriaMetrics, over the same parts" \
                                                     @PYTHON@ tests/real/dedup.py --build @BUILD@ --rounds 3
step dedup-long    full  release 1800 "the same, 60 times"      @PYTHON@ tests/real/dedup.py --build @BUILD@ --rounds 60
step memory-limit  quick release 300  "intake waits at storage.memory_limit, and nothing is lost" \
                                                     @PYTHON@ tests/real/memory_limit.py --build @BUILD@
step crashfs       full  -       300  "crashfs finds a store that forgets to sync" bash tests/testbed/crashfs/selftest.sh
step broker-away   quick release 600  "Kafka away at start, in the middle, at the stop" \
                                                     @PYTHON@ tests/real/broker_away.py --build @BUILD@ --away 10
step broker-away-long full release 900 "the same, for 30 s"     @PYTHON@ tests/real/broker_away.py --build @BUILD@ --away 30
step snapshot      quick release 300  "snapshots in mid-stream: a stock server and a restored Varve make of them what they should" \
                                                     @PYTHON@ tests/real/snapshot.py --build @BUILD@
step delete        quick release 300  "series are deleted in mid-stream: by Varve, and by a stock server on its directory" \
                                                     @PYTHON@ tests/real/delete.py --build @BUILD@
step snapshot-backup full release 1200 "the same, also through vmbackup and vmrestore" \
                                                     @PYTHON@ tests/real/snapshot.py --build @BUILD@ --vmbackup
step rejects       quick dev     300  "what can't be decoded, of every format and through kills, is kept once, and replayed once" \
                                                     @PYTHON@ tests/real/rejects.py --build @BUILD@
step rejects-asan  full  asan    900  "the same under ASan"     @PYTHON@ tests/real/rejects.py --build @BUILD@ --kills 20 --messages 2000
step rejects-tsan  full  tsan    900  "the same under TSan"     @PYTHON@ tests/real/rejects.py --build @BUILD@
step two-nodes     quick dev     300  "two nodes in one group: moves are exact; what kills and freezes leave in both stores is what it has to be" \
                                                     @PYTHON@ tests/real/two_nodes.py --build @BUILD@
step two-nodes-asan full asan    900  "the same under ASan"     @PYTHON@ tests/real/two_nodes.py --build @BUILD@
step two-nodes-tsan full tsan    900  "the same under TSan"     @PYTHON@ tests/real/two_nodes.py --build @BUILD@
step two-nodes-long full dev     3600 "the same with more of each" \
                                                     @PYTHON@ tests/real/two_nodes.py --build @BUILD@ --moves 8 --kills 12 --freezes 8
step two-nodes-cooperative full dev 1200 "the same with cooperative rebalances" \
                                                     @PYTHON@ tests/real/two_nodes.py --build @BUILD@ --assignor cooperative-sticky --kills 4 --freezes 4
step fenced        quick dev     300  "fenced_commits: two nodes, one killed and frozen around the group's decision: missing 0, extra 0 over both stores" \
                                                     @PYTHON@ tests/real/fenced.py --build @BUILD@ --short
step fenced-long   full  dev     3600 "the same at every step, four times"  @PYTHON@ tests/real/fenced.py --build @BUILD@ --moves 6 --rounds 4
step fenced-proof  full  dev     600  "without fenced_commits the same leaves rows in both stores"  @PYTHON@ tests/real/fenced.py --build @BUILD@ --plain
step fenced-tsan   full  tsan    1200 "the same with it, under TSan"  @PYTHON@ tests/real/fenced.py --build @BUILD@
step soak          quick release+dev 900 "two nodes for 3 minutes while everything around them breaks and heals: missing 0, extra 0" \
                                                     @PYTHON@ tests/real/soak/main.py --build @BUILD@ --fault-build @ROOT@/dev --minutes 3
step soak-long     full  release+dev 5400 "the same for an hour" \
                                                     @PYTHON@ tests/real/soak/main.py --build @BUILD@ --fault-build @ROOT@/dev --minutes 60
step soak-proof-position full dev 1200 "a soaked Varve that records positions a message too far is found" \
                                                     @PYTHON@ tests/real/soak/main.py --build @BUILD@ --fault-build @BUILD@ --minutes 3 --wrong commit_position_ahead
step soak-proof-ring full dev    1200 "and one that stores twice what the MQTT broker sends again" \
                                                     @PYTHON@ tests/real/soak/main.py --build @BUILD@ --fault-build @BUILD@ --minutes 3 --wrong mqtt_no_ring
step bad-input     quick release 600  "bad input of every kind costs itself only"  @PYTHON@ tests/real/bad_input.py --build @BUILD@
step bad-input-asan full asan    1200 "the same under ASan"     @PYTHON@ tests/real/bad_input.py --build @BUILD@
step mqtt          quick dev     300  "the MQTT sink against a real mosquitto"       bash tests/real/mqtt/traps.sh @BUILD@
step mqtt-asan     full  asan    600  "the same under ASan"       bash tests/real/mqtt/traps.sh @BUILD@
step mqtt-tsan     full  tsan    600  "the same under TSan"       bash tests/real/mqtt/traps.sh @BUILD@
step mqtt-fallback full  nohold  600  "the same without paho's static library"     bash tests/real/mqtt/traps.sh @BUILD@
step unit-fallback full  nohold  600  "unit tests in that build"                   unit nohold
step tls           quick release 180  "certificates and passwords, refused and not, at real brokers" \
                                                     @PYTHON@ tests/real/tls.py --build @BUILD@
step pressure      quick dev     300  "storage hangs, spool, disk and memory full, while partitions move: nothing is lost, doubled or thrown out" \
                                                     @PYTHON@ tests/real/pressure.py --build @BUILD@
step pressure-long full  dev     1800 "the same in every combination, and that a wrong build is found" \
                                                     @PYTHON@ tests/real/pressure.py --build @BUILD@ --plan full --proof
step pressure-asan full  asan    1800 "the same under ASan, but for the memory, which it takes itself" \
                                                     @PYTHON@ tests/real/pressure.py --build @BUILD@ --plan full --kind stall --kind journal --kind spool --kind disk
step pressure-tsan full  tsan    1800 "the same under TSan" \
                                                     @PYTHON@ tests/real/pressure.py --build @BUILD@ --plan full --kind stall --kind journal --kind spool --kind disk
step security      quick release 300  "passwords stay where they are, files are 0640, and the HTTP server holds out" \
                                                     @PYTHON@ tests/real/security.py --build @BUILD@
step kafka         quick dev     900  "the Kafka sink against real brokers"        bash tests/real/kafka/traps.sh @BUILD@
step harness       full  release 900  "the harness finds what is different, and nothing else" \
                                                     @PYTHON@ tests/real/harness_check.py --build @BUILD@
step bench-ingest  full  release 3600 "CPU, memory and bytes beside VictoriaMetrics" sh tests/bench/run.sh ingest --build @BUILD@
step bench-remote-write full release 3600 "the same for remote write: CPU at most 0.30 of it" sh tests/bench/run.sh remote_write --build @BUILD@ --limit 0.30
step bench-mqtt    full  release 3600 "MQTT beside a bare subscriber: at least 0.70 of it, also with slow fsyncs" sh tests/bench/run.sh mqtt --build @BUILD@ --limit 0.70
step bench-open    full  release 3600 "a million series and 1,000 parts: ready within 2 s" sh tests/bench/run.sh open --build @BUILD@

# Two cores are busy only if steps wait for brokers, disks and timers beside each other, LANES of them at a time.
# AHEAD: while the next builds are made.
AHEAD="unit-dev unit-asan unit-tsan fuzz"
# Those that mostly wait, the longest first: the last to run. (kafka has three brokers of its own: beside the end of the soak at most.)
BESIDE="soak mqtt broker-away kafka pressure memory-limit fenced two-nodes e2e-tsan e2e-asan full-disk delete crash-states powercut rejects tls mqtt-kill kill snapshot bad-input"
BESIDE+=" mqtt-e2e-asan formats day-end merge-oracle dedup retention mqtt-powercut quickstart-kafka quickstart"
LANES=2

# ---------------------------------------------------------------- what the steps call
build() { # PRESET
  local log=$WORK/built-$1
  cmake --preset "$1" -B "$BUILD_ROOT/$1" || return 1
  cmake --build "$BUILD_ROOT/$1" -j "$JOBS" -- -k 0 2>&1 | tee "$log" # all errors, not the first one
  [ "${PIPESTATUS[0]}" != 0 ] || return 0
  # Last, where whoever reads the end of a log finds it.
  grep -E ': (fatal )?error: |undefined reference|multiple definition|^(ninja|ld|collect2): ' "$log" | sort -u | head -n 40
  return 1
}

unit() { # PRESET: all of ctest but the lint, which is a step of its own
  local log=$WORK/ctest-$1 rc=0
  ctest --test-dir "$BUILD_ROOT/$1" --no-tests=error -LE '^lint$' -j $((2 * JOBS)) 2>&1 | tee "$log"
  rc=${PIPESTATUS[0]}
  local failed total skipped
  failed=$(sed -n 's/.* \([0-9]*\) tests* failed out of \([0-9]*\).*/\1/p' "$log")
  total=$(sed -n 's/.* \([0-9]*\) tests* failed out of \([0-9]*\).*/\2/p' "$log")
  [ -n "$total" ] || return 1
  skipped=$(grep -cE '\*\*\*(Skipped|Not Run)' "$log")
  [ "$skipped" = 0 ] || echo "$skipped tests were skipped, which counts as failed"
  failed=$((failed + skipped))
  [ $rc = 0 ] || [ $failed != 0 ] || failed=1
  # Last, where whoever reads the end of a log finds it: what the failed ones have printed.
  [ $failed = 0 ] || failed_output "$BUILD_ROOT/$1/Testing/Temporary/LastTest.log"
  echo "$((total - failed)) passed, $failed failed"
  [ $failed = 0 ]
}

failed_output() { # LastTest.log of ctest: the last lines of each test that failed
  awk '/^[0-9]+\/[0-9]+ Testing: / { name = $3; n = 0 }
       { lines[n++] = $0 }
       /^Test Failed\./ { print "---- " name; for (i = n > 45 ? n - 45 : 0; i < n; i++) print lines[i] }' "$1"
}

fetch_testbed() {
  bash tests/testbed/kafka.sh fetch && bash tests/testbed/oracle.sh
}

influx_oracle() { # BUILD GROUPS
  local VM_NEW
  eval "$(bash tests/testbed/oracle.sh)"
  "$PYTHON" tests/real/influx_oracle.py "$VM_NEW" "$1/tests/unit/sinks/decode/decode_dump" --groups "$2"
}

decode_oracle() { # BUILD PAYLOADS
  local VM_NEW
  eval "$(bash tests/testbed/oracle.sh)"
  "$PYTHON" tests/real/decode_oracle.py "$VM_NEW" "$1/tests/unit/sinks/decode/decode_dump" --payloads "$2"
}

check_install() {
  local to
  to=$(mktemp -d) || return 1
  DESTDIR=$to cmake --install "$BUILD_ROOT/release" --prefix /usr && "$to/usr/bin/varve" --version &&
    { [ -x "$to$(sed -n 's/^ExecStart=\([^ ]*\) .*/\1/p' "$(find "$to" -name varve.service)")" ] ||
      { echo "varve.service isn't there, or starts a program that isn't"; false; }; }
  local rc=$?
  rm -rf "$to"
  return $rc
}

check_fallback() {
  cmake --preset nohold -B "$BUILD_ROOT/nohold" && cmake --build "$BUILD_ROOT/nohold" -j "$JOBS" --target varve test_mqtt_receive &&
    "$BUILD_ROOT/nohold/tests/unit/sinks/mqtt/test_mqtt_receive" && "$BUILD_ROOT/nohold/src/varve" version | grep "a power loss isn't covered"
}

# ---------------------------------------------------------------- arguments
FULL="" LIST="" ONLY=() BUILD_ROOT=$ROOT/build
while [ $# -gt 0 ]; do
  case $1 in
    --full) FULL=1 ;;
    --list) LIST=1 ;;
    --only) ONLY+=("${2:?--only needs the name of a step}"); shift ;;
    --build-root) mkdir -p "${2:?--build-root needs a folder}"; BUILD_ROOT=$(cd "$2" && pwd); shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 64 ;;
  esac
  shift
done

wanted() { # index
  local pattern
  if [ ${#ONLY[@]} -gt 0 ]; then
    # shellcheck disable=SC2254 -- a pattern on purpose
    for pattern in "${ONLY[@]}"; do case ${NAMES[$1]} in $pattern) return 0 ;; esac; done
    return 1
  fi
  [ -n "$FULL" ] || [ "${CLASSES[$1]}" = quick ]
}
for pattern in ${ONLY[@]+"${ONLY[@]}"}; do
  matched=""
  # shellcheck disable=SC2254
  for name in "${NAMES[@]}"; do case $name in $pattern) matched=1 ;; esac; done
  [ -n "$matched" ] || { echo "run.sh: no step is called $pattern; see --list" >&2; exit 64; }
done
if [ -n "$LIST" ]; then
  for i in "${!NAMES[@]}"; do printf '%-16s %-6s %s\n' "${NAMES[i]}" "${CLASSES[i]}" "${HEADINGS[i]}"; done
  exit 0
fi

# ---------------------------------------------------------------- surroundings
WORK=$(mktemp -d "${TMPDIR:-/tmp}/varve-tests.XXXXXX") || exit 1
chmod 711 "$WORK" # a test may run the program as another user, below it
LOGS=$BUILD_ROOT/test-logs
mkdir -p "$LOGS"
rm -f "$LOGS"/*.log
export PYTHONDONTWRITEBYTECODE=1
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-suppressions=$ROOT/tests/doubles/tsan.supp:second_deadlock_stack=1:halt_on_error=1}

# All that a step starts inherits VARVE_TEST_RUN=$WORK/NAME: what outlives it is found by this mark, and what it forgets to
# delete lies in TMPDIR=$WORK/NAME.
left_running() { # MARK: pids of processes that carry it, or one below it, and outlive this look
  local file pid
  for file in $(grep -zlE "^VARVE_TEST_RUN=$1(/|\$)" /proc/[0-9]*/environ 2>/dev/null); do
    pid=${file#/proc/} pid=${pid%/environ}
    [ "$pid" = $$ ] || [ "$pid" = "$BASHPID" ] || [ ! -d "/proc/$pid" ] || echo "$pid"
  done
}
clean_up() {
  local pid
  for pid in $(jobs -p); do kill -TERM "$pid" 2>/dev/null; done
  wait
  for pid in $(left_running "$WORK"); do kill -KILL "$pid" 2>/dev/null; done
  rm -rf "$WORK"
}
trap clean_up EXIT
trap 'echo; echo "run.sh: interrupted" >&2; exit 130' INT TERM HUP

# Sanitizers of gcc 12 and clang 14 place their shadow at fixed addresses. Kernels that randomise with more than 28 bits
# map libraries into it now and then: then the process has to run without randomisation.
WRAPPER=()
if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28)" -gt 28 ] && setarch "$(uname -m)" -R true 2>/dev/null; then
  WRAPPER=(setarch "$(uname -m)" -R)
fi

# ---------------------------------------------------------------- running
PASSED=0 FAILED=0 FAILED_STEPS=() BEGIN=$SECONDS
declare -A BUILT=()
export -f build unit failed_output fetch_testbed influx_oracle decode_oracle check_install check_fallback
export BUILD_ROOT JOBS WORK

clear_up_after() { # NAME: ends and removes what a step has left; prints what that was
  local pid left files
  left=$(left_running "$WORK/$1")
  files=$(find "$WORK/$1" -mindepth 1 -maxdepth 1)
  for pid in $left; do
    echo "process $pid: $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | cut -c1-150)"
    kill -KILL "$pid" 2>/dev/null
  done
  [ -z "$files" ] || printf '%s\n' "$files"
  rm -rf "${WORK:?}/$1"
}

execute() { # NAME SECONDS COMMAND-LINE WRAP: one step; its log, what it has left, and "rc seconds" in files
  local start=$SECONDS rc=0 child=""
  trap 'kill -TERM "$child" 2>/dev/null; wait "$child"; exit 130' TERM
  trap - EXIT
  mkdir -p "$WORK/$1"
  # A process group of its own, so that the time limit reaches everything in it; TERM is passed on to it.
  # shellcheck disable=SC2086 -- the wrapper is several words or none
  TMPDIR=$WORK/$1 VARVE_TEST_RUN=$WORK/$1 timeout -k 20 "$2" $4 bash -c "$3" >"$LOGS/$1.log" 2>&1 </dev/null &
  child=$!
  wait "$child" || rc=$?
  [ $rc != 124 ] && [ $rc != 137 ] || echo "run.sh: ended after its limit of $2 s" >>"$LOGS/$1.log"
  clear_up_after "$1" >"$WORK/$1.left"
  echo "$rc $((SECONDS - start))" >"$WORK/$1.part"
  mv "$WORK/$1.part" "$WORK/$1.done"
}

report() { # NAME: counts what the step's last line says, or one test; and prints it
  local log=$LOGS/$1.log rc=1 seconds=0 line p=0 f=0
  read -r rc seconds <"$WORK/$1.done"
  line=$(grep -xE '[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
  if [ -n "$line" ]; then
    p=${line%% *} f=${line#*, } f=${f%% *}
    [ "$rc" = 0 ] || [ "$f" != 0 ] || f=1
    [ "$((p + f))" != 0 ] || f=1
  elif [ "$rc" = 0 ]; then p=1; else f=1; fi
  if [ $f = 0 ] && [ -s "$WORK/$1.left" ]; then # a step that failed may well have been cut short
    f=1
    printf '   %-16s FAILED  %4d s   %d passed, but it left behind:\n' "$1" "$seconds" "$p"
    sed 's/^/   | /' "$WORK/$1.left"
  elif [ $f = 0 ]; then
    printf '   %-16s ok      %4d s   %d passed\n' "$1" "$seconds" "$p"
  else
    printf '   %-16s FAILED  %4d s   %d passed, %d failed (exit %d); the end of %s:\n' "$1" "$seconds" "$p" "$f" "$rc" "${log#"$ROOT"/}"
    tail -n 150 "$log" | sed 's/^/   | /'
  fi
  PASSED=$((PASSED + p)) FAILED=$((FAILED + f))
  [ "$f" = 0 ] || FAILED_STEPS+=("$1")
  [ "$f" = 0 ]
}

run() { # NAME SECONDS HEADING COMMAND-LINE WRAP: one step, waited for
  printf '== %-16s %s\n' "$1" "$3"
  execute "$1" "$2" "$4" "$5" &
  wait $!
  report "$1"
}

RUNNING=()
finish_one() { # waits for one of the steps that run beside each other
  local name other rest=()
  while :; do
    for name in "${RUNNING[@]}"; do
      [ ! -f "$WORK/$name.done" ] || break 2
    done
    wait -n
  done
  for other in "${RUNNING[@]}"; do [ "$other" = "$name" ] || rest+=("$other"); done
  RUNNING=(${rest[@]+"${rest[@]}"})
  report "$name"
}
finish_all() { while [ ${#RUNNING[@]} -gt 0 ]; do finish_one; done; }
run_beside() { # as run, but only started; if all lanes are taken, after another has ended
  while [ ${#RUNNING[@]} -ge "$LANES" ]; do finish_one; done
  printf '== %-16s %s\n' "$1" "$3"
  execute "$1" "$2" "$4" "$5" &
  RUNNING+=("$1")
}

built() { # PRESET+PRESET...: makes the builds unless this run has tried already
  local preset all=0
  for preset in ${1//+/ }; do
    [ -n "${BUILT[$preset]:-}" ] || {
      BUILT[$preset]=ok
      run "build-$preset" 900 "needed by what follows" "build $preset" "" || BUILT[$preset]=failed
    }
    [ "${BUILT[$preset]}" = ok ] || all=1
  done
  return $all
}

if ! sh config/install-deps.sh test; then
  echo "run.sh: the tests need these packages" >&2
  FAILED=1
  echo "0 passed, 1 failed"
  exit 1
fi
PYTHON=$(bash tests/testbed/python.sh) || { echo "0 passed, 1 failed"; exit 1; }
export PATH PYTHON

start() { # INDEX HOW: makes the build that the step needs, then runs it
  local i=$1 name=${NAMES[$1]} preset=${PRESETS[$1]} wrapper="" command
  if [[ $name == build-* ]]; then
    preset=${name#build-}
    [ -z "${BUILT[$preset]:-}" ] || return
    BUILT[$preset]=ok
    run "$name" "${LIMITS[i]}" "${HEADINGS[i]}" "${COMMANDS[i]}" "" || BUILT[$preset]=failed
    return
  fi
  if [ "$preset" != - ] && ! built "$preset"; then
    printf '== %-16s %s\n   %-16s FAILED  because the build %s did\n' "$name" "${HEADINGS[i]}" "$name" "$preset"
    FAILED=$((FAILED + 1))
    FAILED_STEPS+=("$name")
    return
  fi
  case $preset in asan | tsan | fuzz) wrapper=${WRAPPER[*]:-} ;; esac
  command=${COMMANDS[i]//@BUILD@/$BUILD_ROOT/${preset%%+*}}
  command=${command//@ROOT@/$BUILD_ROOT}
  "$2" "$name" "${LIMITS[i]}" "${HEADINGS[i]}" "${command//@PYTHON@/$PYTHON}" "$wrapper"
}

for i in "${!NAMES[@]}"; do
  wanted "$i" || continue
  case " $AHEAD | $BESIDE " in
    *" ${NAMES[i]} "*"|"*) start "$i" run_beside ;;
    *"|"*" ${NAMES[i]} "*) ;;
    *)
      # Builds and what is quick run beside those of AHEAD; what measures times has the machine to itself.
      case ${NAMES[i]} in build-* | install | fallback | influx | decoders) ;; *) finish_all ;; esac
      start "$i" run
      ;;
  esac
done
finish_all
for name in $BESIDE; do
  for i in "${!NAMES[@]}"; do
    [ "${NAMES[i]}" != "$name" ] || { wanted "$i" && start "$i" run_beside; }
  done
done
finish_all

# Again at the end, which is what a CI page shows first.
for name in ${FAILED_STEPS[@]+"${FAILED_STEPS[@]}"}; do
  [ ! -f "$LOGS/$name.log" ] || { echo "== $name failed:"; tail -n 50 "$LOGS/$name.log" | sed 's/^/   | /'; }
done

echo
echo "$((SECONDS - BEGIN)) s in all${FAILED_STEPS[*]:+; failed: ${FAILED_STEPS[*]}}"
echo "$PASSED passed, $FAILED failed"
[ $FAILED = 0 ] && [ $PASSED -gt 0 ]
