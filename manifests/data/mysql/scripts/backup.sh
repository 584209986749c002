#!/usr/bin/env bash
# Runs for each connection (replicate.sh): streams a backup of this member to standard output.
# shellcheck source-path=SCRIPTDIR source=member.sh
. "$(dirname "$0")/member.sh"

work="$(mktemp -d "$RUN/backup.XXXXXX")"
trap 'rm -rf "$work"' EXIT
log "streaming a backup to ${SOCAT_PEERADDR:-an unknown peer}"
xtrabackup --defaults-extra-file="$RUN/client.cnf" --backup --slave-info --stream=xbstream \
  --datadir="$DATA" --target-dir="$work"
