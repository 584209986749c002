#!/usr/bin/env bash
# Init container: fills an empty data folder with the data of the member before this one, streamed by its backup
# server (replicate.sh). Does nothing on the first member, or where there is data already.
# shellcheck source-path=SCRIPTDIR source=member.sh
. "$(dirname "$0")/member.sh"

BACKUP_PORT="${BACKUP_PORT:-3307}"
ATTEMPTS="${ATTEMPTS:-60}"
PAUSE="${PAUSE:-5}"

if [ -d "$DATA/mysql" ]; then
  log "there is data in $DATA; nothing to clone"
  exit 0
fi
if [ "$ordinal" -eq 0 ]; then
  # An empty first member beside living replicas has lost its data: started, it would be written to as if nothing was.
  # At the very first start there is no other member: each waits for the one before it.
  if socat -u OPEN:/dev/null "TCP:$(member 1):3306,connect-timeout=5" 2>/dev/null; then
    log "$DATA is empty, and $(member 1) runs: this member has lost its data, and does not start without it." \
      "Restore it from a backup, or from $(member 1) once you have stopped its replication"
    exit 1
  fi
  log "the first member starts empty"
  exit 0
fi

peer="$(member "$((ordinal - 1))")"
incoming="$DATA/.incoming"

# A stream that breaks off leaves part of a backup: it never becomes the data folder.
receive() {
  rm -rf "$incoming"
  mkdir -p "$incoming"
  socat -u "TCP:$peer:$BACKUP_PORT,connect-timeout=10" STDOUT | xbstream --extract --directory="$incoming" || return 1
  # What xtrabackup sends when all the rest is sent.
  local file
  for file in xtrabackup_binlog_info xtrabackup_checkpoints xtrabackup_info; do
    [ -s "$incoming/$file" ] || { log "the stream from $peer ended before $file"; return 1; }
  done
}

for ((attempt = 1; ; attempt++)); do
  log "cloning from $peer (attempt $attempt of $ATTEMPTS)"
  if receive; then break; fi
  if [ "$attempt" -ge "$ATTEMPTS" ]; then
    log "no complete backup from $peer:$BACKUP_PORT; see the log of its container \`replicate\`"
    exit 1
  fi
  sleep "$PAUSE"
done

xtrabackup --prepare --target-dir="$incoming"

# What an earlier attempt left behind goes first. The folder `mysql` comes last: it is what says, above, that the data
# is complete.
shopt -s dotglob nullglob
for entry in "$DATA"/*; do
  [ "$entry" = "$incoming" ] || rm -rf "$entry"
done
# The identity of the server that was copied; each member has its own.
rm -f "$incoming/auto.cnf"
for entry in "$incoming"/*; do
  [ "$entry" = "$incoming/mysql" ] || mv "$entry" "$DATA/"
done
mv "$incoming/mysql" "$DATA/"
rmdir "$incoming"
log "cloned from $peer"
