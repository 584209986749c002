#!/usr/bin/env bash
# Sidecar: turns a fresh clone into a replica of the first member, once, and serves backups to the member after this one.
# MySQL 8.4 requires the keywords REPLICA and SOURCE; it removed the older ones.
# shellcheck source-path=SCRIPTDIR source=member.sh
. "$(dirname "$0")/member.sh"

: "${REPLICATION_PASSWORD:?}" "${BACKUP_PASSWORD:?}"
BACKUP_PORT="${BACKUP_PORT:-3307}"
PAUSE="${PAUSE:-2}"
primary="$(member 0)"

credentials "$RUN/client.cnf" backup "$BACKUP_PASSWORD"

# The GTIDs that the clone contains. The file has the log's name and position, then the GTID set on one or more lines.
cloned_gtids() { tr -d '\n' <"$DATA/xtrabackup_binlog_info" | cut -f 3; }

# Turns a fresh clone into a running replica. If this container was stopped in between, the next start does the remaining
# steps, because xtrabackup_binlog_info is renamed last.
replicate() {
  local end="$DATA/xtrabackup_binlog_info" status gtids
  status="$(sql --execute='SHOW REPLICA STATUS')"
  if [ ! -s "$end" ]; then
    if [ -n "$status" ]; then
      log "replication is set up; mysqld has resumed it"
      return
    fi
    log "$DATA has data but no xtrabackup_binlog_info, so the position to replicate from is unknown." \
      "To clone again, delete this pod's PersistentVolumeClaim and the pod"
    exit 1
  fi
  gtids="$(cloned_gtids)"
  if [ -z "$gtids" ]; then
    log "xtrabackup_binlog_info has no GTID set: was the source started without gtid_mode=ON?"
    exit 1
  fi
  if [ -z "$status" ]; then
    # The clone has the GTID history of its source. Reset it to the end of the backup.
    sql <<SQL
SET GLOBAL super_read_only = OFF;
RESET BINARY LOGS AND GTIDS;
SET GLOBAL gtid_purged = '$gtids';
CHANGE REPLICATION SOURCE TO
  SOURCE_HOST = '$primary',
  SOURCE_USER = 'replication',
  SOURCE_PASSWORD = $(quoted "$REPLICATION_PASSWORD"),
  SOURCE_AUTO_POSITION = 1,
  SOURCE_CONNECT_RETRY = 10,
  GET_SOURCE_PUBLIC_KEY = 1;
SQL
  fi
  sql <<SQL
START REPLICA;
SET GLOBAL super_read_only = ON;
SQL
  mv "$end" "$end.used"
  log "replicating from $primary after $gtids"
}

until sql --execute='SELECT 1' >/dev/null 2>&1; do
  log "waiting for mysqld"
  sleep "$PAUSE"
done
if [ "$ordinal" -ne 0 ]; then replicate; fi

# Serves one backup at a time, to any client that connects. Only the NetworkPolicy restricts the clients.
log "serving backups on port $BACKUP_PORT"
exec socat "TCP-LISTEN:$BACKUP_PORT,reuseaddr,fork,max-children=1" "EXEC:$(dirname "$0")/backup.sh"
