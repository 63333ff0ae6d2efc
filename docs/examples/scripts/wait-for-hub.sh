#!/usr/bin/env bash
# Wait for a hub that is unreachable, unhealthy or at its rate limit (8), then run a command; exit on any other error.
set -euo pipefail
trap 'clinder down' EXIT
for pause in 60 300 900 0; do
    status=0
    clinder up || status=$?
    [ "$status" -eq 8 ] || break
    sleep "$pause"
done
[ "$status" -eq 0 ] || exit "$status"
clinder run -- "$@"
