"""The user's own settings of pip and uv, less what says where or which packages are installed.

An index, a proxy or a certificate is needed to install anything; a `target` or `dry-run`, in a variable or in a
configuration file, would leave the environment that is being built empty. So installers get the variables that
`inherited.json` names, and of their configuration files the keys that those variables stand for. Standard library
alone: the GitHub Action uses it before anything is installed.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinder.system.inherited import inherit, is_inherited

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PIP_FILE = "PIP_CONFIG_FILE"
_UV_FILES = ("UV_CONFIG_FILE", "UV_NO_CONFIG")
_BUNDLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_SYSTEM_CERTIFICATES = ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS")
"""One variable under two names: uv before 0.11 knows the second alone."""


def installer_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Make the environment of an installer.

    uv uses the system's certificates, as pip does, or those that the user has named for pip, requests or curl. Unless
    told to, it trusts nothing but a list of its own, and so refuses the registry on a network that has a certificate
    authority of its own.

    Args:
        environment: what is inherited from; `os.environ` if left out.
    """
    variables = inherit("program", "network", "installer", environment=environment)
    if not any(name in variables for name in _SYSTEM_CERTIFICATES):
        variables |= dict.fromkeys(_SYSTEM_CERTIFICATES, "true")
    if not variables.get("SSL_CERT_FILE") and not variables.get("SSL_CERT_DIR"):
        named = (variables[name] for name in _BUNDLES if name in variables)
        if bundle := next((path for path in named if Path(path).is_file()), ""):
            variables["SSL_CERT_FILE"] = bundle
    return variables


def pip_settings(listed: str) -> dict[str, str]:
    """Turn pip's configuration files into variables, and have pip read no file any more.

    Args:
        listed: what `pip config list` prints: lines such as `global.index-url='https://…'`.
    """
    found = {}
    for section in ("global", "install"):  # in the order in which pip has them count
        for line in listed.splitlines():
            key, _, value = line.partition("=")
            name = f"PIP_{key.removeprefix(f'{section}.').replace('-', '_').upper()}"
            if key.startswith(f"{section}.") and is_inherited(name, "installer"):
                found[name] = str(ast.literal_eval(value))
    return found | {_PIP_FILE: os.devnull}


def with_pip_settings(variables: Mapping[str, str], listed: str) -> dict[str, str]:
    """Add to an environment what stands in pip's configuration files (`pip_settings`); variables that it has win."""
    return {**pip_settings(listed), **{name: value for name, value in variables.items() if name != _PIP_FILE}}


def without_uv_files(variables: Mapping[str, str]) -> dict[str, str]:
    """Leave out of an environment what would contradict uv's option `--config-file`."""
    return {name: value for name, value in variables.items() if name not in _UV_FILES}


def uv_config(environment: Mapping[str, str] | None = None) -> str:
    """Make the only configuration file that uv shall read, from the user's and the system's.

    Args:
        environment: says where they lie; `os.environ` if left out.
    """
    base = os.environ if environment is None else environment
    settings: dict[str, Any] = {}
    for path in _uv_files(base):
        try:
            settings |= tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    pip = settings.pop("pip", {})
    lines = list(_toml_lines(settings))
    return "\n".join([*lines, "[pip]", *_toml_lines(pip if isinstance(pip, dict) else {}), ""])


def _uv_files(environment: Mapping[str, str]) -> Iterator[Path]:
    """Name the files that uv reads outside of projects, that of the system first (docs: "Configuration files")."""
    if environment.get("UV_NO_CONFIG"):
        return
    if named := environment.get("UV_CONFIG_FILE"):
        yield Path(named)
        return
    if sys.platform == "win32":
        folders = [environment.get("PROGRAMDATA", ""), environment.get("APPDATA", "")]
    else:
        system = environment.get("XDG_CONFIG_DIRS") or "/etc/xdg"
        found = (folder for folder in system.split(":") if (Path(folder) / "uv" / "uv.toml").is_file())
        home = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "~"), ".config"))
        folders = [next(found, "/etc"), home]
    yield from (Path(folder, "uv", "uv.toml") for folder in folders if folder)


def _toml_lines(settings: Mapping[str, Any]) -> Iterator[str]:
    for key, value in settings.items():
        if is_inherited(f"UV_{key.replace('-', '_').upper()}", "installer"):
            yield f"{key} = {_toml(value)}"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(key)} = {_toml(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value if isinstance(value, bool | int | float) else str(value))
