"""The environment variables that children get: what they need, and none of the secrets around clinder.

Code of the repository runs in builds and sessions, and a real Binder would hand it nothing either: so these
get only variables that are named here, whatever else clinder's own environment holds.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PLAIN = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|TEMP|TMP|TERM"
    r"|LD_LIBRARY_PATH|DYLD_\w+|CUDA_\w+|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
    r"|(HTTP|HTTPS|ALL|NO|FTP)_PROXY|XDG_(CACHE|DATA|CONFIG)_HOME|XDG_RUNTIME_DIR"
    r"|SYSTEMROOT|SYSTEMDRIVE|WINDIR|COMSPEC|PATHEXT|APPDATA|LOCALAPPDATA|PROGRAMDATA|PROGRAMFILES.*"
    r"|USERPROFILE|USERNAME|HOMEDRIVE|HOMEPATH|NUMBER_OF_PROCESSORS|PROCESSOR_\w+",
    re.IGNORECASE,
)
_INSTALLERS = re.compile(r"(PIP|UV|CONDA|MAMBA)_\w+")
_UNATTENDED = {
    "PYTHONUNBUFFERED": "1",
    "NO_COLOR": "1",
    "PIP_NO_INPUT": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "CONDA_ALWAYS_YES": "true",
    "MAMBA_ALWAYS_YES": "true",
}
_OWN_INTERPRETER = re.compile(r"PYTHONPATH|PYTHONHOME")


def for_builds() -> dict[str, str]:
    """What installers get: a plain environment and their own settings."""
    own = {name: value for name, value in os.environ.items() if _INSTALLERS.fullmatch(name)}
    return _plain() | own | _UNATTENDED


def for_server(prefix: Path | None, session: Path) -> dict[str, str]:
    """What a session's server gets.

    Args:
        prefix: the built environment that it runs from; `None` for clinder's own interpreter.
        session: the session's folder, where Jupyter's own folders lie.
    """
    variables = _plain()
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
        "JUPYTER_RUNTIME_DIR": str(session / "runtime"),
        "IPYTHONDIR": str(session / "ipython"),
        # The session's folders before the environment's: its kernel is named there by its full path.
        "JUPYTER_PREFER_ENV_PATH": "0",
        "PYTHONUNBUFFERED": "1",
    }


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if _PLAIN.fullmatch(name)}
