#!/usr/bin/env bash
# free-port.sh [N] - prints N (default 1) different TCP ports of 127.0.0.1 that nobody listens on, one a line.
# They lie below the range from which the kernel takes the local ports of outgoing connections, so that none of these
# takes one between now and its use.
set -euo pipefail
count=${1:-1}
read -r ephemeral _ </proc/sys/net/ipv4/ip_local_port_range
low=10240 high=$((ephemeral > 12000 ? ephemeral : 32768))
declare -A taken=()
while [ ${#taken[@]} -lt "$count" ]; do
  port=$((low + (RANDOM * 32768 + RANDOM) % (high - low)))
  [ -z "${taken[$port]:-}" ] || continue
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue; fi
  taken[$port]=1
  echo "$port"
done
