#!/usr/bin/env bash
# Functions and variables for the other scripts: this member's ordinal, the names of the others, and access to its server.
# Sourced, never run. Reads HOSTNAME (mysql-2), SERVICE (mysql), DATA and RUN (folders).
set -euo pipefail

: "${HOSTNAME:?the name of the pod, such as mysql-2}"
DATA="${DATA:-/var/lib/mysql}"
RUN="${RUN:-/run/pratique}"
SERVICE="${SERVICE:-mysql}"
ordinal="${HOSTNAME##*-}"
set_name="${HOSTNAME%-*}"

case "$ordinal" in
  '' | *[!0-9]*)
    echo "$(basename "$0"): HOSTNAME is $HOSTNAME: must end in the pod's ordinal, as a StatefulSet names its pods" >&2
    exit 64
    ;;
esac

log() { echo "$(basename "$0"): $*" >&2; }

# The DNS name of another member, which stays the same when the address of its pod changes.
member() { echo "$set_name-$1.$SERVICE"; }

# Writes an option file with the credentials of a user, so that no password is on a command line.
# credentials FILE USER PASSWORD
credentials() {
  local password="${3//\\/\\\\}"
  password="${password//\"/\\\"}"
  (
    umask 077
    printf '[client]\nhost=127.0.0.1\nport=3306\nuser="%s"\npassword="%s"\n' "$2" "$password" >"$1"
  )
}

# Prints a text as a quoted SQL string.
quoted() {
  local text="${1//\\/\\\\}"
  printf "'%s'" "${text//\'/\'\'}"
}

# Runs SQL on this member's server, from --execute= or from standard input.
sql() { mysql --defaults-extra-file="$RUN/client.cnf" --connect-timeout=5 --batch "$@"; }
