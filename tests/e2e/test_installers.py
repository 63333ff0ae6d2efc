"""Installers get the settings that lead to packages, and none that would install them elsewhere or not at all."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme
from embedded import LIMIT_S, cache, checkout, launched, local, wheel

from clinder.localhub.hub import LocalHub
from clinder.localhub.sessions import stop
from clinder.system.installers import installer_environment, pip_settings, uv_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clinder.localhub.environment import Installer

__all__ = ["cache"]

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PIP_CONF = """
[global]
require-virtualenv = true
[install]
target = {elsewhere}
user = true
dry-run = true
no-deps = true
"""
LISTED = """\
:env:.config-file='/home/ada/pip.conf'
global.extra-index-url='https://one.example.org/simple\\nhttps://two.example.org/simple'
global.require-virtualenv='true'
global.timeout='15'
install.dry-run='true'
install.target='/elsewhere'
install.timeout='61'
"""
UV_TOML = """
index-url = "https://one.example.org/simple"
native-tls = true
required-version = "==0.0.1"
exclude-newer = "2001-01-01T00:00:00Z"
[[index]]
name = "two"
url = "https://two.example.org/simple"
default = true
[pip]
extra-index-url = ["https://three.example.org/simple"]
target = "/elsewhere"
no-deps = true
"""


def test_pip_s_files_become_variables_less_what_leads_elsewhere() -> None:
    assert pip_settings(LISTED) == {
        "PIP_EXTRA_INDEX_URL": "https://one.example.org/simple\nhttps://two.example.org/simple",
        "PIP_TIMEOUT": "61",
        "PIP_CONFIG_FILE": os.devnull,
    }


def test_uv_s_files_become_one_less_what_leads_elsewhere(tmp_path: Path) -> None:
    system, user = tmp_path / "system", tmp_path / "user"
    for folder, content in ((system, 'cache-dir = "/cache"\nnative-tls = false\n'), (user, UV_TOML)):
        (folder / "uv").mkdir(parents=True)
        (folder / "uv" / "uv.toml").write_text(content)
    made = uv_config({"XDG_CONFIG_DIRS": f"/nowhere:{system}", "XDG_CONFIG_HOME": str(user)})
    assert made.splitlines() == [
        'cache-dir = "/cache"',
        "native-tls = true",
        'index-url = "https://one.example.org/simple"',
        'index = [{"name" = "two", "url" = "https://two.example.org/simple", "default" = true}]',
        "[pip]",
        'extra-index-url = ["https://three.example.org/simple"]',
    ]
    named = {"UV_CONFIG_FILE": str(system / "uv" / "uv.toml"), "XDG_CONFIG_HOME": str(user)}
    assert "index-url" not in uv_config(named)
    assert uv_config(named | {"UV_NO_CONFIG": "1"}) == "[pip]\n"


@pytest.mark.parametrize("content", ["no toml", "pip = 1", "[index\n", '"\\u0000" = 1'])
def test_a_file_of_uv_s_that_says_nothing_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv" / "uv.toml").write_text(content)
    assert uv_config({"XDG_CONFIG_HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path)}) == "[pip]\n"


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Variables and files that would have an installer install elsewhere, or nothing."""
    elsewhere = tmp_path / "elsewhere"
    uv_toml = 'required-version = "==0.0.1"\n[pip]\ntarget = "{elsewhere}"\nno-deps = true\n'
    for name, content in {"pip/pip.conf": PIP_CONF, "uv/uv.toml": uv_toml}.items():
        file = tmp_path / "config" / name
        file.parent.mkdir(parents=True)
        file.write_text(content.format(elsewhere=elsewhere))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CLINDER_BUILD_TOKEN", "s3cret")
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_REQUIREMENT", "PIP_CONSTRAINT"):
        monkeypatch.setenv(name, str(elsewhere))
    for name in ("PIP_USER", "PIP_DRY_RUN", "PIP_REQUIRE_VIRTUALENV", "PIP_NO_DEPS", "UV_SYSTEM_PYTHON", "UV_NO_BUILD"):
        monkeypatch.setenv(name, "1")
    for name in (
        "UV_PYTHON",
        "UV_PROJECT",
        "UV_WORKING_DIR",
        "UV_CONSTRAINT",
        "UV_OVERRIDE",
        "PYTHONHOME",
        "PYTHONPATH",
    ):
        monkeypatch.setenv(name, str(elsewhere))
    return elsewhere


BACKEND = """
import json, os, pathlib, sys
pathlib.Path({seen!r}).write_text(json.dumps(dict(os.environ)))
def build_wheel(folder, *_):
    import shutil
    shutil.copy({wheel!r}, folder)
    return {name!r}
build_editable = build_wheel
"""
PROJECT = """
[project]
name = "probe"
version = "1.0"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_build_ends_up_in_its_environment_whatever_is_set(
    tmp_path: Path, cache: Path, hostile: Path, installer: Installer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    name = wheel(tmp_path, "probe", probe__py="")
    backend = BACKEND.format(seen=str(seen), wheel=str(tmp_path / name), name=name)
    book = checkout(tmp_path / "book", pyproject__toml=PROJECT, backend__py=backend, venv__py="raise SystemExit(9)")
    monkeypatch.setenv("PIP_NO_COMPILE", "1")  # only to be quick
    monkeypatch.delenv("PYTHONHOME")  # this interpreter's own kernels need none
    _, session = launched(local(book), LocalHub(installer=installer))
    assert stop(session.url, 10)
    assert list(cache.glob("environments/*/prefix/lib/python*/site-packages/probe.py"))
    assert not hostile.exists()
    assert "s3cret" not in seen.read_text()
    assert "elsewhere" not in seen.read_text()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An index of packages with a certificate authority of its own: its URL, and the authority's certificate."""
    folder = tmp_path / "index" / "probe"
    folder.mkdir(parents=True)
    name = wheel(folder, "probe", probe__py="")
    (folder / "index.html").write_text(f'<a href="{name}">{name}</a>')
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder.parent)))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://localhost:{server.server_port}", tmp_path / "authority.pem"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", ""])
def test_uv_trusts_the_authority_that_is_named_for_pip(
    tmp_path: Path, index: tuple[str, Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in CERTIFICATES:
        monkeypatch.delenv(variable, raising=False)
    if name:
        monkeypatch.setenv(name, str(index[1]))
    command = [sys.executable, "-m", "uv", "pip", "install", "--no-config", "--target", str(tmp_path / "made"), "probe"]
    command += ["--default-index", index[0], "--no-cache"]
    done = subprocess.run(
        command, env=installer_environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert (done.returncode == 0) is bool(name), done.stderr
    assert (tmp_path / "made" / "probe.py").exists() is bool(name)


def test_uv_uses_the_system_s_certificates_unless_told_otherwise() -> None:
    plain = installer_environment({})
    assert plain == {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true"}
    assert installer_environment({"UV_NATIVE_TLS": "false"}) == {"UV_NATIVE_TLS": "false"}
    named = {"SSL_CERT_DIR": "/certificates", "PIP_CERT": __file__}
    assert installer_environment(named) == named | plain


def test_the_action_makes_the_same_environment(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    base = {
        "Path": "/bin",
        "https_proxy": "http://proxy:3128",
        "PIP_TARGET": "x",
        "PIP_CERT": __file__,
        "AWS_TOKEN": "x",
    }
    script = f"console.log(JSON.stringify(require({str(root / 'action' / 'environment.js')!r}).installerEnvironment()))"
    node = shutil.which("node")
    assert node
    done = subprocess.run([node, "-e", script], env=base, capture_output=True, text=True, check=True, timeout=LIMIT_S)
    assert json.loads(done.stdout) == installer_environment(base)
