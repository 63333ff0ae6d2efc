"""`clinder env`: the variables of the session for shells and tools."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from commands import CLINDER, clinder
from hub.servers import TOKEN, JupyterSession, Server
from tools import fish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["fish"]


@dataclass(frozen=True)
class Kept:
    """A project with a running session."""

    folder: Path
    session: JupyterSession

    @property
    def url(self) -> str:
        return self.session.session_url.rstrip("/")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    with JupyterSession() as session, Server(session.launch()) as hub:
        folder = tmp_path_factory.mktemp("project")
        (folder / "clinder.toml").write_text(f'hub = "{hub.url}"\nrepo = "org/name"\n[session]\nwarm = "off"\n')
        clinder(folder, "up", "-q")
        yield Kept(folder, session)


def run_shell(kept: Kept, program: str, script: str) -> str:
    done = subprocess.run([program, "-c", script], cwd=kept.folder, capture_output=True, text=True, check=True)
    return done.stdout


PRINT = 'printf "%s %s\\n" "$JUPYTER_BASE_URL" "$JUPYTER_TOKEN"'


@pytest.mark.skipif(os.name == "nt", reason="sh is a POSIX shell")
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_posix_shell_sets_and_unsets_the_variables(kept: Kept, shell: str) -> None:
    env = f"{shlex.quote(CLINDER)} env --no-check"
    script = f'eval "$({env})"; {PRINT}; eval "$({env} --unset)"; env | grep -c ^JUPYTER_ || true'
    assert run_shell(kept, shell, script) == f"{kept.url} {TOKEN}\n0\n"


@pytest.mark.skipif(os.name == "nt", reason="fish is a POSIX shell")
def test_fish_sets_and_unsets_the_variables(kept: Kept, fish: str) -> None:
    env = f"{shlex.quote(CLINDER)} env --no-check --shell fish"
    script = f"{env} | source; {PRINT}; {env} --unset | source; set -q JUPYTER_TOKEN; or echo gone"
    assert run_shell(kept, fish, script) == f"{kept.url} {TOKEN}\ngone\n"


@pytest.mark.skipif(os.name == "nt", reason="fish is a POSIX shell")
@pytest.mark.parametrize(
    "value", ["it's", "a\\b\\'c", "$(echo no) `x` $HOME", 'say "hi"; echo no', "ünï ✓", "*?~{a,b}"]
)
def test_fish_reads_back_any_value(fish: str, value: str) -> None:
    from clinder.output.shells import Shell, set_variables

    script = set_variables({"A": value}, Shell.FISH) + '\nprintf %s "$A"'
    assert subprocess.run([fish, "-c", script], capture_output=True, text=True, check=True).stdout == value


def test_json_and_dotenv_contain_the_variables(kept: Kept) -> None:
    variables = {"JUPYTER_BASE_URL": kept.url, "JUPYTER_TOKEN": TOKEN}
    assert clinder(kept.folder, "env", "--shell", "json").document == variables
    assert clinder(kept.folder, "env", "--shell", "dotenv").stdout == "".join(
        f"{name}='{value}'\n" for name, value in variables.items()
    )


def test_github_gets_bare_lines_and_the_token_is_masked(kept: Kept) -> None:
    done = clinder(kept.folder, "env", "--shell", "github")
    assert done.stdout == f"JUPYTER_BASE_URL={kept.url}\nJUPYTER_TOKEN={TOKEN}\n"
    assert done.stderr == f"::add-mask::{TOKEN}\n"


def test_without_a_terminal_there_is_no_usage_hint(kept: Kept) -> None:
    done = clinder(kept.folder, "env")
    assert [line.partition("=")[0] for line in done.stdout.splitlines()] == [
        "export JUPYTER_BASE_URL",
        "export JUPYTER_TOKEN",
    ]
    assert done.stderr == ""


def test_a_session_that_is_gone_is_reported_unless_unchecked(kept: Kept) -> None:
    kept.session.mode = "404"
    try:
        gone = clinder(kept.folder, "env", expect=6)
        assert gone.stdout == ""
        assert "is gone" in gone.stderr
        assert TOKEN in clinder(kept.folder, "env", "--no-check").stdout
        kept.session.mode = "503"
        assert clinder(kept.folder, "env", expect=8).stdout == ""
    finally:
        kept.session.mode = "running"


def test_without_a_session_variables_can_only_be_unset(tmp_path: Path) -> None:
    assert clinder(tmp_path, "env", "--no-check", expect=6).stdout == ""
    assert clinder(tmp_path, "env", "--unset").stdout == "unset JUPYTER_BASE_URL\nunset JUPYTER_TOKEN\n"
    assert json.loads(clinder(tmp_path, "env", "--unset", "--shell", "json").stdout)["JUPYTER_TOKEN"] is None


@pytest.mark.skipif(os.name == "nt", reason="a pseudo-terminal is a POSIX matter")
def test_a_usage_hint_is_shown_on_a_terminal(kept: Kept) -> None:
    import pty

    read, write = pty.openpty()
    done = subprocess.run(
        [CLINDER, "env"], cwd=kept.folder, stdout=write, stderr=subprocess.PIPE, text=True, check=True
    )
    os.close(write)
    os.close(read)
    assert 'Usage: eval "$(clinder env)"' in done.stderr
