#!/usr/bin/env bash
# inside.sh - run in a box whose PID 1 is systemd (run.sh): varve.service as it is installed, from its first start to its stop.
# The last line is "N passed, N failed".
set -uo pipefail
PASSED=0 FAILED=0
HTTP=http://127.0.0.1:8475 SECRET=8c1fd3a5

check() { # WHAT COMMAND...: the command has to succeed
  local what=$1 out
  shift
  if out=$("$@" 2>&1); then
    PASSED=$((PASSED + 1))
    echo "ok      $what"
  else
    FAILED=$((FAILED + 1))
    printf 'FAILED  %s\n        %s\n' "$what" "$*"
    printf '%s\n' "$out" | tail -n 20 | sed 's/^/        | /'
  fi
}
equal() { # EXPECTED SEEN
  [ "$1" = "$2" ] || { echo "expected: $1"; echo "seen:     $2"; return 1; }
}
within() { # SECONDS COMMAND...: until it succeeds
  local i limit=$(($1 * 10))
  shift
  for ((i = 0; i < limit; i++)); do
    "$@" >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  "$@"
}
property() { systemctl show varve -P "$1"; }
user_of() { ps -o user= -p "$(property MainPID)"; }
is_property() { equal "$2" "$(property "$1")"; }
samples() { # of the series `reading`
  curl -fsS "$HTTP/api/v1/export" -d 'match[]=reading' | sed 's/.*"values":\[//; s/\].*//' | tr ',' '\n' | grep -c .
}
is_count() { equal "$1" "$(samples)"; }
publish() { # FROM TO
  seq "$1" "$2" | mosquitto_pub -h 127.0.0.1 -u varve -P "$SECRET" -q 1 -l -t plants/north/reading
}
connected() { grep -q '^varve_mqtt_connected{.* 1$' <<<"$(curl -fsS "$HTTP/metrics")"; }
journal() { journalctl -u varve -o cat --no-pager "$@"; }
has_line() { grep -qE "$1" <<<"$(journal "${@:2}")"; }
logged() { within 5 has_line "$@" || { journal | tail -n 5; false; }; } # it takes a moment to get there
not_logged() { ! grep -F "$1" <<<"$(journal)"; }
quiet() { # COMMAND...: succeeds and prints nothing
  local out
  out=$("$@" 2>&1) && [ -z "$out" ] || { echo "$out"; false; }
}
exposure() { # of systemd-analyze security: 0 is best
  local line
  line=$(systemd-analyze security --no-pager varve.service | tail -n 1)
  echo "$line"
  awk -v line="$line" 'BEGIN { sub(/.*: /, "", line); exit !(line + 0 > 0 && line + 0 <= 1.5) }'
}
start_fails() { ! systemctl start varve; }

# ---------------------------------------------------------------- as installed
check "the unit has no mistakes" quiet systemd-analyze verify /lib/systemd/system/varve.service
check "systemd-sysusers makes the user" systemd-sysusers
check "the user is there" id varve
check "the installed configuration is right" varve check -c /etc/varve/varve.yaml
for file in README.md CHANGELOG.md json-mappings.md mqtt.md varve.yaml; do
  check "$file is in share/doc" test -s /usr/share/doc/varve/$file
done
systemctl daemon-reload
check "it starts with the configuration as installed" systemctl start varve
check "it's ready when systemctl returns" curl -fsS "$HTTP/ready"
check "it stops" systemctl stop varve
exposure | sed 's/^/        /'
check "the sandbox is tight: exposure of at most 1.5" exposure

# ---------------------------------------------------------------- a broker that wants a password, in a credential
mosquitto_passwd -b -c /etc/mosquitto/passwd varve "$SECRET" 2>/dev/null
chmod 644 /etc/mosquitto/passwd
printf 'listener 1883 127.0.0.1\nallow_anonymous false\npassword_file /etc/mosquitto/passwd\n' >/etc/mosquitto/box.conf
mosquitto -d -c /etc/mosquitto/box.conf >/dev/null 2>&1
(umask 077 && printf %s "$SECRET" >/etc/varve/field.password)
mkdir -p /etc/systemd/system/varve.service.d
printf '[Service]\nLoadCredential=field:/etc/varve/field.password\n' >/etc/systemd/system/varve.service.d/field.conf
systemctl daemon-reload
configure() { # LINES of the sink's spool
  cat >/etc/varve/varve.yaml <<YAML
storage:
  path: /var/lib/varve
sinks:
  - name: field
    type: mqtt
    broker: mqtt://127.0.0.1:1883
    client_id: varve-field
    username: varve
    password: "%{credential:field}"
$1
    subscriptions:
      - filter: plants/+/reading
        format: value
        labels: {plant: "\$1"}
YAML
}
configure ""
check "it starts with an MQTT sink" systemctl start varve
check "the password is taken from the credential: connected" within 10 connected
check "it runs as its own user" equal varve "$(user_of 2>&1)"
check "systemctl status has a line from it" test -n "$(property StatusText)"
check "messages are published" publish 1 100
check "they are in the store" within 5 is_count 100
check "the spool lies in the state directory, and belongs to the user" equal "varve" "$(stat -c %U /var/lib/varve/varve/spool/field 2>&1)"
check "nobody else may look into the state directory" equal "varve 750" "$(stat -c '%U %a' /var/lib/varve)"

pid=$(property MainPID)
check "it can't be dumped or debugged by its user: its memory holds the password" equal root "$(stat -c %U "/proc/$pid/environ" 2>&1)"
check "its files are for the user and the group" quiet find /var/lib/varve ! -type l ! \( -type d -perm 0750 \) ! \( -type f -perm 0640 \)
[ "$pid" -gt 1 ] && kill -KILL "$pid"
check "messages are published while it is dead" publish 101 150
check "systemd starts it again" within 10 is_property NRestarts 1
check "nothing is lost" within 10 is_count 150

check "it stops" systemctl stop varve
check "it stopped cleanly" is_property Result success
check "its exit code is 0" is_property ExecMainStatus 0
check "the store is whole" varve verify /var/lib/varve
check "the journal has priorities, not words" logged "connected with" -p info
check "routine lines aren't errors" equal 0 "$(journal _COMM=varve -p err | grep -c .)"
check "the password isn't in the journal" not_logged "$SECRET"

# ---------------------------------------------------------------- a spool elsewhere
mkdir -p /srv/spool && chown varve: /srv/spool
configure "    spool: {path: /srv/spool/field}"
check "a spool outside of the state directory needs ReadWritePaths" start_fails
check "the journal says what is wrong" logged "/srv/spool/field.*Read-only file system"
systemctl stop varve
systemctl reset-failed varve
printf '[Service]\nReadWritePaths=/srv/spool\n' >/etc/systemd/system/varve.service.d/spool.conf
systemctl daemon-reload
check "with ReadWritePaths it starts" systemctl start varve
check "the spool is there" test -s /srv/spool/field/spool-id
systemctl stop varve

# ---------------------------------------------------------------- a mistake in the configuration
configure "    spool: {size: 1GiB}"
check "a configuration with a mistake doesn't start" start_fails
check "the journal says where it is" logged "/etc/varve/varve.yaml:[0-9]+:[0-9]+: .*spool"
sleep 3 # longer than RestartSec
check "it isn't tried again" equal "failed 1" "$(property ActiveState) $(property ExecMainStatus)"

echo "$PASSED passed, $FAILED failed"
[ $FAILED = 0 ]
