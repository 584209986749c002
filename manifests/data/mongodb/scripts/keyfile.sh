#!/usr/bin/env bash
# Init container: copies the key that the members authenticate to each other with to where mongod takes it.
# A Secret's volume is readable by the group (fsGroup), and mongod refuses a key that others than its user can read.
set -euo pipefail

SOURCE="${SOURCE:-/secret/keyfile}"
TARGET="${TARGET:-/keyfile/keyfile}"

length="$(tr -d '[:space:]' <"$SOURCE" | wc -c)"
if [ "$length" -lt 6 ] || [ "$length" -gt 1024 ]; then
  echo "keyfile.sh: $SOURCE has $length characters: must be 6 to 1024, as mongod wants it" >&2
  exit 1
fi
rm -f "$TARGET"
(
  umask 377
  cat "$SOURCE" >"$TARGET"
)
