"""A malicious hub, in every text that it can send: to terminals, logs, CI runners and shells."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from commands import CLINDER, clinder
from hub.servers import DEATHS, JupyterSession, Server, event, in_turn, stream
from tools import fish, zsh

if sys.platform != "win32":
    import pty

if TYPE_CHECKING:
    from pathlib import Path

    from hub.servers import Connection, Handler, Request

__all__ = ["fish", "zsh"]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs pseudo-terminals and POSIX shells")
ATTACKS = "".join(
    [
        "\x1b]0;title\x07",
        "\x1b]2;title\x1b\\",
        "\x1b]52;c;ZXZpbA==\x07",  # the clipboard
        "\x1b]8;;http://evil.example.org\x1b\\link\x1b]8;;\x1b\\",
        "\x1b[2J\x1b[1;1H\x1b[5A",  # the cursor
        "\x9b2J\x9d0;title\x9c",  # the same with 8-bit control characters
        "\x1bP1$r\x1b\\\x1b_x\x1b\\\x1bc",
        "\x07\x08\x08\x0b\x0c\x0e\x7f\x85",
        "\u202etxt.exe\u2066\u2028forged line",
        "\n::set-output name=x::y",
        "\r::add-mask::z",
        "\r\n::error::forged\n  ::stop-commands::word\n::word::",
        "\n##[error]forged ##vso[task.setvariable variable=x]y",
        "\nclinder: all is well\n",
    ]
)
OURS = re.compile(r"\x1b\[(\?25[lh]|[0-9;]*m|[0-9]*[AK]|2K)")
"""The control sequences of the live view: hide the cursor, move up, erase lines, set colours."""


def is_harmless(text: str) -> bool:
    """Whether the text contains nothing that a terminal or CI runner would interpret."""
    lines = re.split(r"[\n\r\x85\u2028]", text)
    return all(character.isprintable() or character == "\n" for character in text) and not any(
        line.strip().startswith("::") or re.search(r"##\w*\[", line) for line in lines
    )


def imitates_clinder(text: str) -> bool:
    """Whether a text of the hub looks like one of clinder's own."""
    return any(line.startswith("clinder: all is well") for line in text.split("\n"))


@pytest.fixture
def project(tmp_path: Path, hub: Server) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "clinder.toml").write_text(
        f'hub = "{hub.url}"\nrepo = "org/name"\n[retry]\nattempts = 2\nbackoff = "10ms"\n[timeouts]\nstop = "2s"\n'
    )
    return folder


def chatty(session: JupyterSession) -> Handler:
    """A hub that attacks in every event of a successful launch."""
    details = {"image": ATTACKS, "binder_ref_url": ATTACKS, "binder_persistent_request": f"v2/gh/org/name/{ATTACKS}"}
    fields = json.loads(session.ready(**details).removeprefix(b"data: "))
    return stream(
        event("waiting", ATTACKS),
        event(ATTACKS, ATTACKS),
        event("building", f"{ATTACKS}\r"),
        event("pushing", ATTACKS, progress={ATTACKS: {"current": 1, "total": 2}}),
        event("built", ATTACKS, imageName=ATTACKS),
        event("launching", ATTACKS),
        b"data: " + json.dumps({**fields, "message": ATTACKS}).encode() + b"\n\n",
    )


def limited(_request: Request, connection: Connection) -> None:
    connection.head(200, X_Evil="x")
    connection.send(event("failed", ATTACKS, status_code=429))


def on_a_terminal(folder: Path, *arguments: str) -> tuple[int, str]:
    pid, descriptor = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve(
            CLINDER, ["clinder", *arguments], {**os.environ, "TERM": "xterm-256color", "COLUMNS": "90", "LINES": "40"}
        )
    written = b""
    with contextlib.suppress(OSError):
        while piece := os.read(descriptor, 65536):
            written += piece
    os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), written.decode()


def test_all_output_about_a_launch_is_harmless(project: Path, session: JupyterSession, hub: Server) -> None:
    hub.handler = in_turn(limited, chatty(session))
    for arguments in (
        ("up", "-vv"),
        ("status",),
        ("state", "show"),
        ("logs",),
        ("logs", "--timeline"),
        ("down", "-vv"),
    ):
        done = clinder(project, *arguments)
        assert is_harmless(done.stdout), arguments
        assert is_harmless(done.stderr), arguments
        assert not imitates_clinder(done.stdout + done.stderr), arguments
    (log,) = (project / ".clinder" / "logs").glob("*.log")
    assert is_harmless(log.read_text())
    assert not imitates_clinder(log.read_text())


def test_a_terminal_only_gets_the_control_sequences_of_the_live_view(
    project: Path, session: JupyterSession, hub: Server
) -> None:
    hub.handler = chatty(session)
    status, written = on_a_terminal(project, "up", "-vv")
    assert status == 0
    assert is_harmless(OURS.sub("", written).replace("\r", "")), repr(written)


def failing_kernel(_request: Request, connection: Connection) -> None:
    connection.json(500, {"message": ATTACKS})


@pytest.mark.parametrize("fault", ["build", "launch", "kernel", "content type", "url", "gone"])
def test_the_message_of_an_error_is_harmless_in_text_and_json(
    project: Path, session: JupyterSession, hub: Server, fault: str
) -> None:
    handlers: dict[str, Handler] = {
        "build": stream(event("failed", ATTACKS)),
        "launch": stream(event("built", "x"), event("failed", ATTACKS, status_code=500)),
        "content type": lambda _request, connection: connection.answer(200, b"x", 'text/\x1b]0;x\x07"::error::'),
        "url": session.launch(url=f"http://127.0.0.1/{ATTACKS}"),
    }
    if fault == "kernel":
        session.overrides["POST", "api/kernels"] = failing_kernel
    elif fault == "gone":
        session.overrides["GET", "api/status"] = DEATHS["404"]
    else:
        hub.handler = handlers[fault]
    done = clinder(project, "up", "-vv", "--json", expect=None)
    assert done.status != 0
    assert is_harmless(done.stderr), repr(done.stderr)
    assert not imitates_clinder(done.stderr), done.stderr
    assert is_harmless(done.stdout)
    assert is_harmless(done.document["error"]["message"])
    assert is_harmless(done.document["error"]["hint"])


def test_the_report_about_a_hub_is_harmless(project: Path, hub: Server) -> None:
    def evil(request: Request, connection: Connection) -> None:
        documents = {
            "/versions": (200, {"binderhub": ATTACKS, "builder": ATTACKS}),
            "/health": (503, {"ok": False, "checks": [{"service": ATTACKS, "ok": False}]}),
            "/api/repoproviders": (200, [{"id": ATTACKS}]),
        }
        connection.json(*documents.get(request.path, (404, {})))

    hub.handler = evil
    done = clinder(project, "hub", "check", expect=8)
    assert is_harmless(done.stdout)
    assert is_harmless(done.stderr)
    assert not imitates_clinder(done.stdout + done.stderr)
    with Server(evil) as other:
        passed_over = clinder(project, "up", "--hub", f"{hub.url},{other.url}", expect=8)
        assert is_harmless(passed_over.stderr)
        assert "is unwell (HTTP 503)" in passed_over.stderr


def test_a_log_from_a_checkout_is_harmless_when_shown(project: Path) -> None:
    logs = project / ".clinder" / "logs"
    logs.mkdir(parents=True)
    (logs / "20260101T000000.000Z-1.log").write_text(ATTACKS)
    (logs / "20260101T000000.000Z-1.json").write_text(json.dumps({"hub": ATTACKS, "repo": ATTACKS, "phases": []}))
    for arguments in (("logs",), ("logs", "--follow"), ("logs", "--timeline")):
        assert is_harmless(clinder(project, *arguments).stdout), arguments


@pytest.mark.parametrize("key", ["hub", "repo", "ref", "session.path", "session.warm", "unknown"])
def test_messages_about_a_file_from_a_checkout_are_harmless(project: Path, key: str) -> None:
    table, _, name = key.rpartition(".")
    escaped = json.dumps(ATTACKS.replace("\x7f", ""))  # TOML and JSON have the same escapes, except for this one
    text = f"{'repo = ' + chr(34) + 'org/name' + chr(34) if key != 'repo' else ''}\n{f'[{table}]' if table else ''}\n"
    (project / "clinder.toml").write_text(
        f"{text}{json.dumps(ATTACKS[:8]) if key == 'unknown' else name} = {escaped}\n"
    )
    done = clinder(project, "up", expect=2)
    assert is_harmless(done.stderr), repr(done.stderr)


# Shells

TOKENS = [
    "'$(touch${IFS}canary)'`touch${IFS}canary`\"$(touch${IFS}canary)\"",
    "';touch${IFS}canary;'\";touch${IFS}canary;\"&touch${IFS}canary|touch${IFS}canary#",
    "\\'(touch\\tcanary)\\\";touch\\canary%PATH%!!{a,b}~*?[a-z]<>$x",
    "x\\",
]
SHOW = 'printf %s "$JUPYTER_TOKEN"; env | grep -c "^JUPYTER_"'
FORMS = {
    "sh": ("sh", 'eval "$({command})"; ' + SHOW),
    "dash": ("sh", 'eval "$({command})"; ' + SHOW),
    "bash": ("sh", 'eval "$({command})"; ' + SHOW),
    "zsh": ("sh", 'eval "$({command})"; ' + SHOW),
    "fish": ("fish", "{command} | source; " + SHOW),
    "bash, dotenv": ("dotenv", "{command} > .env; set -a; . ./.env; set +a; " + SHOW),
}


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_with_shell_code_stays_a_value_in_every_shell(
    project: Path,
    session: JupyterSession,
    hub: Server,
    token: str,
    fish: str,
    zsh: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.servers.TOKEN", token)
    hub.handler = session.launch()
    clinder(project, "up", "-q", "--session-warm", "off")
    for name, (form, script) in FORMS.items():
        program = {"fish": fish, "zsh": zsh}.get(name, name.partition(",")[0])
        command = script.replace("{command}", f"'{CLINDER}' env --no-check --shell {form}")
        done = subprocess.run([program, "-c", command], cwd=project, capture_output=True, text=True, check=True)
        assert done.stdout == f"{token}2\n", (name, done)
        assert done.stderr == ""
    assert sorted(path.name for path in project.iterdir()) == [".clinder", ".env", "clinder.toml"], "a program was run"


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_with_shell_code_sets_one_variable_in_the_github_file(
    project: Path, session: JupyterSession, hub: Server, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.servers.TOKEN", token)
    hub.handler = session.launch()
    clinder(project, "up", "-q", "--session-warm", "off")
    lines = clinder(project, "env", "--no-check", "--shell", "github").stdout.splitlines()
    assert lines == [f"JUPYTER_BASE_URL={session.session_url.rstrip('/')}", f"JUPYTER_TOKEN={token}"]


@pytest.mark.parametrize(
    "details",
    [
        {"token": "a\nPATH=/evil"},
        {"token": "a\rb"},
        {"token": "a b"},
        {"url": "http://127.0.0.1/$(touch canary)/"},
        {"url": "http://127.0.0.1/`touch`/"},
        {"url": "http://127.0.0.1/'/"},
        {"url": 'http://127.0.0.1/"/'},
        {"url": "http://127.0.0.1/\nPATH=/evil/"},
        {"url": "javascript:alert(1)"},
        {"url": "/user/x/"},
    ],
    ids=str,
)
def test_a_url_or_token_with_special_characters_is_refused(
    project: Path, session: JupyterSession, hub: Server, details: dict[str, object]
) -> None:
    hub.handler = session.launch(**details)
    done = clinder(project, "up", expect=5)
    assert "the hub reported ready, but its session cannot be used" in done.stderr
    assert "A session may be left on" in done.stderr
    assert clinder(project, "env", "--no-check", expect=6).stdout == ""
