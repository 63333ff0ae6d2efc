"""The tests' own installers work on a network that has a certificate authority of its own."""

from __future__ import annotations

import functools
import os
import ssl
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import installing
import pytest
import tools
import trustme
from embedded import wheel
from installing import installer_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class Registry(SimpleHTTPRequestHandler):
    """Serves a folder; says `{}` to npm's ping."""

    def do_GET(self) -> None:
        if self.path == "/-/ping":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")
        else:
            super().do_GET()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # the base's name
        pass


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    return made


@pytest.fixture
def registry(authority: trustme.CA, tmp_path: Path) -> Iterator[str]:
    """A registry with one package, `answer`, whose certificate only `authority.pem` makes trustworthy."""
    folder = tmp_path / "registry" / "simple" / "answer"
    folder.mkdir(parents=True)
    name = wheel(folder, "answer", answer__py="VALUE = 42\n")
    (folder / "index.html").write_text(f'<a href="{name}">{name}</a>')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    handler = functools.partial(Registry, directory=str(tmp_path / "registry"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


def at_start(tmp_path: Path, **variables: str) -> dict[str, str]:
    """The environment of someone who runs the tests with these variables, and no other word of certificates."""
    left_out = (*CERTIFICATES, "NODE_EXTRA_CA_CERTS", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS", "PIP_FIND_LINKS")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    npm_files = {"NPM_CONFIG_USERCONFIG": os.devnull, "NPM_CONFIG_GLOBALCONFIG": str(tmp_path / "none")}
    return kept | npm_files | {"UV_CACHE_DIR": str(tmp_path / "uv")} | variables


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"])
def test_uv_trusts_the_certificates_that_a_variable_of_pip_names(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    started_with = at_start(tmp_path, UV_INDEX_URL=f"{registry}/simple")
    started_with[variable] = str(tmp_path / "authority.pem")
    monkeypatch.setattr(tools, "FOLDER", tmp_path / "tools")
    monkeypatch.setattr(installing, "AT_START", started_with)
    python = tools.python_packages("answer", "answer") / "python"
    done = subprocess.run(
        [python, "-c", "import answer; print(answer.VALUE)"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "42\n"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"])
def test_npm_trusts_the_certificates_that_a_variable_of_pip_names(registry: str, tmp_path: Path, variable: str) -> None:
    env = installer_environment(at_start(tmp_path, **{variable: str(tmp_path / "authority.pem")}))
    command = ["npm", "ping", "--registry", f"{registry}/", "--fetch-retries", "0", "--cache", str(tmp_path / "npm")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=tools.INSTALL_LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr


def test_without_such_a_variable_the_system_s_certificates_are_trusted(tmp_path: Path) -> None:
    env = installer_environment(at_start(tmp_path))
    assert (env["UV_SYSTEM_CERTS"], env["UV_NATIVE_TLS"]) == ("true", "true")
    assert env.get("NODE_EXTRA_CA_CERTS") == ssl.get_default_verify_paths().cafile
    assert "SSL_CERT_FILE" not in env


def test_a_choice_of_certificates_for_one_installer_stays(tmp_path: Path) -> None:
    chosen = {"UV_SYSTEM_CERTS": "false", "NODE_EXTRA_CA_CERTS": "/own.pem"}
    env = installer_environment(at_start(tmp_path, **chosen))
    assert chosen.items() <= env.items()


def test_installers_have_proxies_and_are_not_measured(tmp_path: Path) -> None:
    given = {"HTTPS_PROXY": "http://proxy.example:3128", "COVERAGE_PROCESS_CONFIG": "{}"}
    env = installer_environment(at_start(tmp_path, **given))
    assert env["HTTPS_PROXY"] == given["HTTPS_PROXY"]
    assert not [name for name in env if name.startswith("COVERAGE_")]
