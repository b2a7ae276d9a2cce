#!/bin/sh
# run.sh NAME [OPTION...] - measures Varve beside its peer in the same run; ends with lines `key: value`.
#
#   ingest   Kafka (lz4, influx, 100 lines a message, 1,000 hosts x 100 fields) into the store, beside a stock VictoriaMetrics over HTTP
#   churn    the same with a million series that are all new
#   remote_write  Kafka (Prometheus remote write 1.0, snappy, 500-2,000 samples a request, 100,000 series) beside the same over HTTP
#   mqtt     durable QoS 1 intake from a mosquitto beside a bare paho subscriber; also with 5 ms added to every fsync
#   merge    a forced merge of 40 million samples in some 20 parts, beside the stock server's of a copy; fails above --bytes-limit
#   open     from start to ready on a store of a million series and 1,000 parts; fails above --limit (2 s)
# options: --build DIR (default: build/release, built first), --samples N, --rounds N, --fields-per-line N, --partitions N, --threads N, --limit RATIO
# of mqtt: --messages N, --receive-maximum N, and --limit is the least ratio
# of open: --series N, --months N, --commits N, --old-series N
# of merge: --series N, --samples-per-series N, --flushes N, --late-percent N, --bytes-limit RATIO (1.005)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
usage() {
  sed -n '2,/^set -eu/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2
  exit 64
}
name=${1:-}
[ -n "$name" ] || usage
shift
case $name in
  ingest | churn | remote_write) program=ingest.py ;;
  mqtt) program=mqtt.py ;;
  merge) program=merge.py ;;
  open) program=open.py ;;
  *) usage ;;
esac
case " $* " in
  *" --build "* | *" --build="*) ;;
  *)
    cd "$root"
    cmake --preset release >&2
    cmake --build build/release --target varve merge_load open_load >&2
    set -- --build build/release "$@" ;;
esac
exec python3 "$here/$program" "$name" "$@"
