#!/usr/bin/env bash
# Sidecar: sets the label `mysql-role` of this pod to the observed role of its server, primary or replica. If the role is
# unknown, it removes the label, and with it the pod from the Service `mysql-read`.
# shellcheck source-path=SCRIPTDIR source=member.sh
. "$(dirname "$0")/member.sh"

: "${MONITOR_PASSWORD:?}" "${POD_NAMESPACE:?}"
ACCOUNT="${ACCOUNT:-/var/run/secrets/kubernetes.io/serviceaccount}"
API="${API:-https://kubernetes.default.svc}"
INTERVAL="${INTERVAL:-5}"
# A replica that is further behind gets no reads.
MAX_LAG="${MAX_LAG:-30}"
# The label is written again after this many rounds without a change, because another client may have removed it.
REFRESH="${REFRESH:-12}"
# The number of rounds; 0 means forever.
ROUNDS="${ROUNDS:-0}"

credentials "$RUN/client.cnf" monitor "$MONITOR_PASSWORD"

# The value of a column of SHOW REPLICA STATUS. --vertical prints one `Name: value` per line. Do not add
# --skip-column-names, which would omit the names there too.
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

# Sets or removes the label, with a merge patch of one key, so that nothing else in the pod changes.
write() {
  local value=null
  if [ "$1" != unknown ]; then value="\"$1\""; fi
  # The token is passed on standard input, because other processes can read arguments. It is read each time, because the
  # kubelet renews it.
  printf 'header = "Authorization: Bearer %s"\n' "$(cat "$ACCOUNT/token")" |
    curl --config - --silent --show-error --fail --max-time 10 --output /dev/null \
      --cacert "$ACCOUNT/ca.crt" --request PATCH --header 'Content-Type: application/merge-patch+json' \
      --data "{\"metadata\":{\"labels\":{\"mysql-role\":$value}}}" \
      "$API/api/v1/namespaces/$POD_NAMESPACE/pods/$HOSTNAME"
}

stop() {
  write unknown || log "could not remove the label; it disappears with the pod"
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
  # In the background, so that a signal is handled immediately.
  sleep "$INTERVAL" &
  wait $! || true
done
