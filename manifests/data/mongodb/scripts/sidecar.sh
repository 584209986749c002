#!/usr/bin/env bash
# Sidecar: runs replica-set.js every few seconds, which checks the replica set and takes one step if one is needed.
# Errors are logged and the step is retried: nothing here ends the pod.
set -euo pipefail

SCRIPTS="${SCRIPTS:-/scripts}"
INTERVAL="${INTERVAL:-10}"
# The number of rounds; 0 means forever.
ROUNDS="${ROUNDS:-0}"

trap 'exit 0' TERM INT

for ((round = 1; ROUNDS == 0 || round <= ROUNDS; round++)); do
  # --norc: ignores settings in the home directory.
  timeout 60 mongosh --norc --quiet --host 127.0.0.1 --port "${MONGODB_PORT:-27017}" --file "$SCRIPTS/replica-set.js" ||
    echo "sidecar.sh: replica-set.js failed (exit code $?); trying again in $INTERVAL s" >&2
  # In the background, so that a signal is handled immediately.
  sleep "$INTERVAL" &
  wait $! || true
done
