"""Print the user's own settings of an installer for the action, less those that would install elsewhere or nothing.

Its argument is `pip`, for JSON with the variables that stand for pip's configuration files, or `uv`, for the TOML of
the configuration file that uv shall read instead of any other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clinder.system.installers import pip_settings, uv_config  # found only now


def main(installer: str) -> str:
    """Make the settings of an installer."""
    if installer == "uv":
        return uv_config()
    listing = [sys.executable, "-I", "-m", "pip", "config", "list"]
    listed = subprocess.run(listing, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8").stdout
    return json.dumps(pip_settings(listed))


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1]))
