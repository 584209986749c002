#!/usr/bin/env bash
# Sidecar: looks at the replica set every few seconds, and lets replica-set.js take one step where one is due.
# Whatever goes wrong is said and tried again: nothing here ends the pod.
set -euo pipefail

SCRIPTS="${SCRIPTS:-/scripts}"
INTERVAL="${INTERVAL:-10}"
# How many rounds to make; 0 for ever.
ROUNDS="${ROUNDS:-0}"

trap 'exit 0' TERM INT

for ((round = 1; ROUNDS == 0 || round <= ROUNDS; round++)); do
  # --norc: no settings of whoever's home this is.
  timeout 60 mongosh --norc --quiet --host 127.0.0.1 --port "${MONGODB_PORT:-27017}" --file "$SCRIPTS/replica-set.js" ||
    echo "sidecar.sh: that did not work (exit code $?); trying again in $INTERVAL s" >&2
  # In the background, so that a signal is not kept waiting.
  sleep "$INTERVAL" &
  wait $! || true
done
