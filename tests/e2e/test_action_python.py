"""How the action finds Python and creates its environment from pinned packages."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hub.servers import Server, event, stream
from packaging.requirements import Requirement
from runner.job import ROOT
from runner.world import job, runner_temp
from tools import python_packages

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.job import Job

__all__ = ["job", "runner_temp"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs on PATH are shell scripts")
LOCK: dict[str, Any] = runpy.run_path(str(ROOT / "action" / "lock.py"))
FAILS = stream(event("failed", "Could not resolve ref\n"))


@pytest.fixture
def path(tmp_path: Path, job: Job) -> Callable[..., None]:
    """Give the job a PATH with only these programs, and a new `RUNNER_TEMP`."""
    job.node = shutil.which("node") or "node"
    job.temp = tmp_path / "temp"
    job.temp.mkdir()

    def put(**programs: str) -> None:
        folder = tmp_path / "programs"
        folder.mkdir()
        for name, script in programs.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        job.more = {"PATH": str(folder), "pythonLocation": ""}

    return put


def test_a_runner_without_python_gets_a_hint(job: Job, path: Callable[..., None]) -> None:
    path()
    ran = job.step(repo="org/name").main()
    assert ran.status == 1
    assert "needs Python 3.11 or later" in ran.error
    assert "actions/setup-python" in ran.error


def test_a_python_that_is_too_old_is_ignored(job: Job, path: Callable[..., None]) -> None:
    path(python3="echo 3 10 14 /usr/bin/python3", python="echo Python was not found >&2; exit 9")
    assert "needs Python 3.11 or later" in job.step(repo="org/name").main().error


def test_programs_in_the_workspace_are_not_run(job: Job, path: Callable[..., None]) -> None:
    path()
    job.more["PATH"] += f"{os.pathsep}."  # Windows always searches the current folder
    for name in ("uv", "python3"):
        (job.workspace / name).write_text("#!/bin/sh\n: > taken-over\n")
        (job.workspace / name).chmod(0o755)
    assert "needs Python 3.11 or later" in job.step(repo="org/name").main().error
    assert not (job.workspace / "taken-over").exists()


def test_a_python_without_venv_is_reported(job: Job, path: Callable[..., None]) -> None:
    path(python3='[ "$2" = -c ] && echo 3 12 1 "$0" || { echo "ensurepip is not available"; exit 1; }')
    ran = job.step(repo="org/name").main()
    assert "apt-get install python3-venv" in ran.error
    assert "ensurepip is not available" in ran.error


def test_a_failed_installation_shows_the_output_of_the_installer(job: Job, path: Callable[..., None]) -> None:
    path(
        python3='[ "$2" = -c ] && echo 3 12 1 "$0" || { /bin/mkdir -p "$4/bin" && '
        '/bin/ln -s "${0%/*}/made" "$4/bin/python"; }',
        made='case "$*" in *settings.py*) echo "{}";; *) echo no matching distribution; exit 1;; esac',
    )
    ran = job.step(repo="org/name").main()
    assert ran.status == 1
    assert ran.understood.annotations()[0].properties["title"] == "clinder could not be installed"
    assert "-m pip install" in ran.error
    assert "no matching distribution" in ran.error


def test_uv_is_used_if_present_and_provides_python_if_missing(job: Job, hub: Server, path: Callable[..., None]) -> None:
    hub.handler = FAILS
    uv = python_packages("uv", "uv") / "uv"
    path(uv=f'exec {uv} "$@"')
    job.more |= {"UV_PYTHON": sys.executable, "UV_PYTHON_DOWNLOADS": "never", "UV_PYTHON_PREFERENCE": "system"}
    job.more["PATH"] += f"{os.pathsep}{Path(sys.executable).resolve().parent}"
    ran = job.step(hub_url=hub.url, repo="org/name").main()
    assert "installing clinder with uv" in ran.output
    assert "Could not resolve ref" in ran.error


HOSTILE = {
    **{f"PIP_{name}": "/nowhere" for name in ("TARGET", "PREFIX", "ROOT", "PYTHON", "REQUIREMENT", "EDITABLE")},
    **{f"PIP_{name}": "1" for name in ("USER", "DRY_RUN", "REQUIRE_VIRTUALENV", "NO_DEPS", "UPGRADE", "PRE")},
    **{f"PIP_{name}": ":all:" for name in ("NO_BINARY", "ONLY_BINARY")},
    **{f"UV_{name}": "/nowhere" for name in ("PYTHON", "PROJECT", "WORKING_DIR", "CONSTRAINT", "OVERRIDE")},
    **{f"UV_{name}": "1" for name in ("SYSTEM_PYTHON", "REQUIRE_HASHES", "NO_BUILD", "NO_BINARY", "VENV_SEED")},
    **{f"PYTHON{name}": "/nowhere" for name in ("HOME", "PATH", "STARTUP", "USERBASE")},
    "PIP_CONSTRAINT": "/nowhere",
    "UV_EXCLUDE_NEWER": "2001-01-01",
}
PIP_CONF = """
[global]
require-virtualenv = true
timeout = 61
[install]
target = {nowhere}
user = true
dry-run = true
no-deps = true
"""
UV_TOML = """
required-version = "==0.0.1"
[pip]
target = "{nowhere}"
dry-run = true
python = "/nowhere"
"""


@pytest.fixture
def hostile(tmp_path: Path, job: Job) -> Path:
    """Variables and configuration files that would have an installer install elsewhere, or nothing."""
    nowhere = tmp_path / "elsewhere"
    for name, content in {"pip/pip.conf": PIP_CONF, "uv/uv.toml": UV_TOML}.items():
        file = tmp_path / "config" / name
        file.parent.mkdir(parents=True)
        file.write_text(content.format(nowhere=nowhere))
    job.temp = tmp_path / "temp"
    job.temp.mkdir()
    job.more |= {**HOSTILE, "XDG_CONFIG_HOME": str(tmp_path / "config"), "CLINDER_BUILD_TOKEN": "s3cret"}
    return nowhere


def test_no_setting_of_pip_leads_the_packages_elsewhere(job: Job, hub: Server, hostile: Path) -> None:
    hub.handler = FAILS
    job.more["PATH"] = f"{Path(sys.executable).resolve().parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    ran = job.step(hub_url=hub.url, repo="org/name").main()
    assert "installing clinder with pip" in ran.output
    assert "Could not resolve ref" in ran.error
    assert not hostile.exists()


def test_no_setting_of_uv_leads_the_packages_elsewhere_and_no_token_reaches_it(
    job: Job, hub: Server, hostile: Path, tmp_path: Path
) -> None:
    hub.handler = FAILS
    seen = tmp_path / "seen"
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "uv").write_text(f'#!/bin/sh\nenv >> {seen}\nexec {python_packages("uv", "uv") / "uv"} "$@"\n')
    (programs / "uv").chmod(0o755)
    job.more["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    ran = job.step(hub_url=hub.url, repo="org/name", build_token="s3cret").main()
    assert "installing clinder with uv" in ran.output
    assert "Could not resolve ref" in ran.error
    assert not hostile.exists()
    assert "s3cret" not in seen.read_text()
    assert "build_token=s3cret" in hub.requests[-1].target, "clinder itself has it"


@pytest.mark.parametrize("named", ["", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_uv_uses_the_certificates_of_the_system_or_those_that_are_named(
    job: Job, hub: Server, tmp_path: Path, path: Callable[..., None], named: str
) -> None:
    hub.handler = FAILS
    seen = tmp_path / "seen"
    path(uv=f'[ "$1" = --version ] || {{ /usr/bin/env > {seen}; exit 1; }}')
    bundle = tmp_path / "authority.pem"
    bundle.touch()
    certificates = ("SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    job.more |= dict.fromkeys(certificates, "") | ({named: str(bundle)} if named else {})
    job.step(hub_url=hub.url, repo="org/name").main()
    variables = seen.read_text().splitlines()
    assert {"UV_SYSTEM_CERTS=true", "UV_NATIVE_TLS=true"} <= set(variables)
    assert (f"SSL_CERT_FILE={bundle}" in variables) is bool(named)


def test_a_second_step_uses_the_environment_of_the_first(job: Job, hub: Server) -> None:
    hub.handler = FAILS
    job.step(hub_url=hub.url, repo="org/name").main()
    assert "installing" not in job.step(hub_url=hub.url, repo="org/name").main().output


def test_the_pins_match_the_dependencies_of_clinder() -> None:
    assert LOCK["locked_for"]() == LOCK["wanted"](), "run python action/lock.py"


def test_every_pin_satisfies_pyproject_and_has_hashes() -> None:
    pins = {}
    for entry in re.split(r"\n(?=\w)", LOCK["LOCK"].read_text()):
        if found := re.match(r"([\w.-]+)==([\w.]+)", entry):
            pins[found[1]] = found[2]
            assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry
    for text in LOCK["wanted"]().split(", "):
        wanted = Requirement(text)
        assert wanted.specifier.contains(pins[wanted.name]), text


def test_outdated_pins_are_reported(tmp_path: Path) -> None:
    folder = tmp_path / "action"
    folder.mkdir()
    for name in ("lock.py", "requirements.txt"):
        shutil.copy(ROOT / "action" / name, folder)
    project = (ROOT / "pyproject.toml").read_text()
    check = [sys.executable, str(folder / "lock.py"), "--check"]
    (tmp_path / "pyproject.toml").write_text(project)
    assert subprocess.run(check, check=False).returncode == 0
    (tmp_path / "pyproject.toml").write_text(project.replace('"pyyaml>=6"', '"pyyaml>=7"'))
    lagging = subprocess.run(check, check=False, capture_output=True, text=True)
    assert lagging.returncode == 1
    assert "lags behind" in lagging.stderr
