#!/usr/bin/env bash
# Init container: fills an empty data folder with the data of the member before this one, streamed by its backup
# server (replicate.sh). Does nothing on the first member, or if the folder has data already.
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
  # If a replica is running, an empty first member has lost its data and must not accept writes. At the very first start no
  # other member is running, because each waits for the one before it.
  if socat -u OPEN:/dev/null "TCP:$(member 1):3306,connect-timeout=5" 2>/dev/null; then
    log "$DATA is empty, but $(member 1) is running: this member has lost its data and does not start without it." \
      "Restore the data from a backup, or from $(member 1) after you have stopped its replication"
    exit 1
  fi
  log "the first member starts empty"
  exit 0
fi

peer="$(member "$((ordinal - 1))")"
incoming="$DATA/.incoming"

# An interrupted stream leaves an incomplete backup, which must never become the data folder.
receive() {
  rm -rf "$incoming"
  mkdir -p "$incoming"
  socat -u "TCP:$peer:$BACKUP_PORT,connect-timeout=10" STDOUT | xbstream --extract --directory="$incoming" || return 1
  # xtrabackup sends these files last.
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

# Removes the files of an earlier attempt first. Moves the folder `mysql` last, because its existence means, above, that
# the data is complete.
shopt -s dotglob nullglob
for entry in "$DATA"/*; do
  [ "$entry" = "$incoming" ] || rm -rf "$entry"
done
# The identity of the source server; each member needs its own.
rm -f "$incoming/auto.cnf"
for entry in "$incoming"/*; do
  [ "$entry" = "$incoming/mysql" ] || mv "$entry" "$DATA/"
done
mv "$incoming/mysql" "$DATA/"
rmdir "$incoming"
log "cloned from $peer"
