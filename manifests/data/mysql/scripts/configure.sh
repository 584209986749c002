#!/usr/bin/env bash
# Init container: writes the configuration for this member's role to CONF, which mysqld reads.
# The role follows from the ordinal: 0 is the primary, the others are replicas.
# shellcheck source-path=SCRIPTDIR source=member.sh
. "$(dirname "$0")/member.sh"

CONF="${CONF:-/etc/mysql/conf.d}"
SOURCE="${SOURCE:-/config}"

cp "$SOURCE/common.cnf" "$CONF/10-common.cnf"
rm -f "$CONF/20-primary.cnf" "$CONF/20-replica.cnf"
if [ "$ordinal" -eq 0 ]; then role=primary; else role=replica; fi
cp "$SOURCE/$role.cnf" "$CONF/20-$role.cnf"
# Ids start at 100, because with the id 0 no member may connect.
printf '[mysqld]\nserver_id = %d\nreport_host = %s\n' "$((100 + ordinal))" "$(member "$ordinal")" >"$CONF/30-server-id.cnf"
log "$HOSTNAME is a $role"
