#!/usr/bin/env bash
# Sidecar: makes a fresh clone a replica of the first member, once, and serves backups to the member after this one.
# MySQL 8.4: REPLICA and SOURCE where older versions said otherwise.
# shellcheck source-path=SCRIPTDIR source=member.sh
. "$(dirname "$0")/member.sh"

: "${REPLICATION_PASSWORD:?}" "${BACKUP_PASSWORD:?}"
BACKUP_PORT="${BACKUP_PORT:-3307}"
PAUSE="${PAUSE:-2}"
primary="$(member 0)"

credentials "$RUN/client.cnf" backup "$BACKUP_PASSWORD"

# Where the clone's data ends: the GTID set is what follows the log's name and position, over one line or several.
cloned_gtids() { tr -d '\n' <"$DATA/xtrabackup_binlog_info" | cut -f 3; }

# From a fresh clone to a running replica. Whatever was done before this container was ended: while the clone's end is
# there, what is left of it is done.
replicate() {
  local end="$DATA/xtrabackup_binlog_info" status gtids
  status="$(sql --execute='SHOW REPLICA STATUS')"
  if [ ! -s "$end" ]; then
    if [ -n "$status" ]; then
      log "replication is set up; mysqld has resumed it"
      return
    fi
    log "$DATA holds data that is no clone: no xtrabackup_binlog_info says where to replicate from." \
      "To clone anew, delete this pod's PersistentVolumeClaim and the pod"
    exit 1
  fi
  gtids="$(cloned_gtids)"
  if [ -z "$gtids" ]; then
    log "xtrabackup_binlog_info has no GTID set: was the source started without gtid_mode=ON?"
    exit 1
  fi
  if [ -z "$status" ]; then
    # The clone's own log of what it executed is its source's; it starts over from where the backup ended.
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

# One backup at a time; whoever connects gets one. Only the NetworkPolicy keeps others out.
log "serving backups on port $BACKUP_PORT"
exec socat "TCP-LISTEN:$BACKUP_PORT,reuseaddr,fork,max-children=1" "EXEC:$(dirname "$0")/backup.sh"
