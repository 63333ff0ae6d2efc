#!/usr/bin/env bash
# Run several commands with one session, which is stopped however this script ends.
set -euo pipefail
trap 'clinder down' EXIT
clinder up
variables=$(clinder env)
eval "$variables"

python3 prepare.py
python3 build.py
