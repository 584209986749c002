#!/usr/bin/env bash
# Init container: copies the key with which the members authenticate to each other to the file that mongod uses.
# The group can read a Secret's volume (fsGroup), and mongod rejects a key that other users than its own can read.
set -euo pipefail

SOURCE="${SOURCE:-/secret/keyfile}"
TARGET="${TARGET:-/keyfile/keyfile}"

length="$(tr -d '[:space:]' <"$SOURCE" | wc -c)"
if [ "$length" -lt 6 ] || [ "$length" -gt 1024 ]; then
  echo "keyfile.sh: $SOURCE has $length characters: must be 6 to 1024, as mongod requires" >&2
  exit 1
fi
rm -f "$TARGET"
(
  umask 377
  cat "$SOURCE" >"$TARGET"
)
