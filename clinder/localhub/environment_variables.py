"""The environment variables that builds and sessions get: what they need, and none of the secrets around clinder.

Code of the repository runs in both, and a real Binder would hand it nothing either: so these get only variables that
are named (`clinder.system.inherited`), whatever else clinder's own environment holds.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from clinder.system.inherited import inherit
from clinder.system.installers import installer_environment

if TYPE_CHECKING:
    from pathlib import Path

_UNATTENDED = {
    "PYTHONUNBUFFERED": "1",
    "NO_COLOR": "1",
    "PIP_NO_INPUT": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "CONDA_ALWAYS_YES": "true",
    "MAMBA_ALWAYS_YES": "true",
}
RUNTIME_VARIABLE = "JUPYTER_RUNTIME_DIR"
"""Names the session's own folder, so that it tells whose server a process is."""
BUILD_VARIABLE = "CLINDER_BUILD_FOLDER"
"""Names the environment that is built, so that everything that a build has started can be found."""
_OWN_INTERPRETER = re.compile(r"PYTHONPATH|PYTHONHOME")


def for_builds(folder: Path) -> dict[str, str]:
    """What installers get: a plain environment and their own settings.

    Args:
        folder: of the environment that is built.
    """
    return installer_environment() | _UNATTENDED | {BUILD_VARIABLE: str(folder)}


def for_server(prefix: Path | None, session: Path) -> dict[str, str]:
    """What a session's server gets.

    Args:
        prefix: the built environment that it runs from; `None` for clinder's own interpreter.
        session: the session's folder, where Jupyter's own folders lie.
    """
    variables = inherit("program", "network")
    if prefix is None:
        variables |= {name: value for name, value in os.environ.items() if _OWN_INTERPRETER.fullmatch(name)}
        scripts = os.path.dirname(sys.executable)  # noqa: PTH120  # resolving a venv's link would lead out of it
    else:
        scripts = str(prefix / ("Scripts" if sys.platform == "win32" else "bin"))
        variables["PYTHONNOUSERSITE"] = "1"
        variables["CONDA_PREFIX" if (prefix / "conda-meta").is_dir() else "VIRTUAL_ENV"] = str(prefix)
    variables["PATH"] = os.pathsep.join(filter(None, [scripts, variables.get("PATH", "")]))
    return variables | {
        "JUPYTER_CONFIG_DIR": str(session / "config"),
        "JUPYTER_DATA_DIR": str(session / "data"),
        RUNTIME_VARIABLE: str(runtime_folder(session)),
        "IPYTHONDIR": str(session / "ipython"),
        # The session's folders before the environment's: its kernel is named there by its full path.
        "JUPYTER_PREFER_ENV_PATH": "0",
        "PYTHONUNBUFFERED": "1",
    }


def runtime_folder(session: Path) -> Path:
    """Name the folder where a session's server notes where it listens."""
    return session / "runtime"
