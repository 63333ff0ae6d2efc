#!/usr/bin/env bash
# Several commands under one session, which is stopped whatever ends this script.
set -euo pipefail
trap 'clinder down' EXIT
clinder up
variables=$(clinder env)
eval "$variables"

python3 prepare.py
python3 build.py
