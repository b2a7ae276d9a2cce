#!/usr/bin/env bash
# librdkafka-new.sh - a current librdkafka as a drop-in for Debian's, out of the confluent-kafka wheel:
#   LD_LIBRARY_PATH=$(librdkafka-new.sh) ./the-program     runs a program that was linked with Debian's librdkafka 2.0.2
# on the newer one (SCRAM against Kafka 4.x, KIP-848 group.protocol=consumer). For tests only.
set -euo pipefail
. "$(dirname "$0")/common.sh"
V=${CONFLUENT_KAFKA_VERSION:-2.16.1}
out=$TESTBED_CACHE/librdkafka-$V
if [ ! -e "$out/librdkafka.so.1" ]; then
  venv=$(testbed_venv)
  tmp=$(mktemp -d)
  trap 'rm -rf "$tmp"' EXIT
  "$venv/bin/pip" -q download --no-deps --only-binary=:all: -d "$tmp" "confluent-kafka==$V" >&2
  "$venv/bin/python3" -m zipfile -e "$tmp"/*.whl "$tmp/w"
  mkdir -p "$out"
  cp "$tmp"/w/confluent_kafka.libs/* "$out/"
  ln -sf "$(cd "$out" && ls -- librdkafka-*.so.1)" "$out/librdkafka.so.1"
fi
echo "$out"
