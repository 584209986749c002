#!/usr/bin/env bash
# Sidecar: keeps the label `mysql-role` of this pod what its server is seen to be: primary, replica, or none at all
# where that cannot be said, which takes the pod out of the Service `mysql-read`.
# shellcheck source-path=SCRIPTDIR source=member.sh
. "$(dirname "$0")/member.sh"

: "${MONITOR_PASSWORD:?}" "${POD_NAMESPACE:?}"
ACCOUNT="${ACCOUNT:-/var/run/secrets/kubernetes.io/serviceaccount}"
API="${API:-https://kubernetes.default.svc}"
INTERVAL="${INTERVAL:-5}"
# A replica that is further behind is not read from.
MAX_LAG="${MAX_LAG:-30}"
# The label is written again after so many rounds without a change: somebody else may have removed it.
REFRESH="${REFRESH:-12}"
# How many rounds to make; 0 for ever.
ROUNDS="${ROUNDS:-0}"

credentials "$RUN/client.cnf" monitor "$MONITOR_PASSWORD"

# The value of a column of SHOW REPLICA STATUS, of which --vertical prints one `Name: value` a line; with its names, which
# --skip-column-names would leave out there too.
column() { sed -n "s/^ *$1: //p" <<<"$status"; }

# Prints primary, replica or unknown.
observe() {
  local modes status lag
  modes="$(sql --skip-column-names --execute='SELECT @@global.read_only, @@global.super_read_only')" || { echo unknown; return; }
  status="$(sql --execute='SHOW REPLICA STATUS' --vertical)" || { echo unknown; return; }
  case "$modes" in
    $'0\t0') if [ -z "$status" ]; then echo primary; else echo unknown; fi ;;
    $'1\t1')
      lag="$(column Seconds_Behind_Source)"
      if [ "$(column Replica_IO_Running)" = Yes ] && [ "$(column Replica_SQL_Running)" = Yes ] &&
        [[ "$lag" =~ ^[0-9]+$ ]] && [ "$lag" -le "$MAX_LAG" ]; then
        echo replica
      else
        echo unknown
      fi
      ;;
    *) echo unknown ;;
  esac
}

# Sets the label, or removes it. A merge patch of one key: nothing else of the pod is touched.
write() {
  local value=null
  if [ "$1" != unknown ]; then value="\"$1\""; fi
  # The token goes in by standard input: arguments can be read by others. It is read anew, for it is renewed.
  printf 'header = "Authorization: Bearer %s"\n' "$(cat "$ACCOUNT/token")" |
    curl --config - --silent --show-error --fail --max-time 10 --output /dev/null \
      --cacert "$ACCOUNT/ca.crt" --request PATCH --header 'Content-Type: application/merge-patch+json' \
      --data "{\"metadata\":{\"labels\":{\"mysql-role\":$value}}}" \
      "$API/api/v1/namespaces/$POD_NAMESPACE/pods/$HOSTNAME"
}

stop() {
  write unknown || log "could not remove the label; it goes with the pod"
  exit 0
}
trap stop TERM INT

written=none
unchanged=0
for ((round = 1; ROUNDS == 0 || round <= ROUNDS; round++)); do
  role="$(observe)"
  if [ "$role" != "$written" ] || [ "$unchanged" -ge "$REFRESH" ]; then
    if write "$role"; then
      [ "$role" = "$written" ] || log "$HOSTNAME is now: $role"
      written="$role"
      unchanged=0
    else
      log "could not write the label \`$role\`; trying again"
      written=none
    fi
  else
    unchanged=$((unchanged + 1))
  fi
  # In the background, so that a signal is not kept waiting.
  sleep "$INTERVAL" &
  wait $! || true
done
