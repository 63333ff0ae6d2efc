#!/usr/bin/env bash
# Use a session without a clinder.toml or a record. It is stopped however this script ends.
set -euo pipefail
CLINDER_SESSION=$(clinder start "$1" --json)
export CLINDER_SESSION
trap 'clinder stop' EXIT

python3 - <<'END'
import json, os
from urllib.request import Request, urlopen

session = json.loads(os.environ["CLINDER_SESSION"])
request = Request(session["url"] + "api/status", headers={"Authorization": "token " + session["token"]})
print(json.load(urlopen(request))["kernels"], "kernels")
END
