"""README and docs: commands parse, the tutorial works, JSON has the documented keys, links have targets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import typer
from pages import (
    BLOCKS,
    CLINDER,
    DOCS,
    LIMIT_S,
    PAGES,
    ROOT,
    Block,
    blocks_of,
    down,
    environment_variables,
    invocations,
    name_of,
    parse,
)

from clinder.cli.app import app
from clinder.state import Pending, Process, StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FREE_FORM = ("versions", "checks")

SHOWN = [
    pytest.param(arguments, id=f"{block.place} {' '.join(arguments)}")
    for block in BLOCKS
    if block.language in ("sh", "console")
    for line in block.commands
    for arguments in invocations(line)
]


@pytest.mark.parametrize("arguments", SHOWN)
def test_documented_commands_parse(arguments: list[str]) -> None:
    parse(arguments)


def test_commands_are_found_in_every_page_that_shows_some() -> None:
    found = {str(shown.id).partition(":")[0] for shown in SHOWN}
    assert {"README.md", "docs/tutorial.md", "docs/exit-statuses.md", "docs/index.md"} <= found
    assert {name_of(page) for page in (DOCS / "commands").iterdir()} <= found
    assert {name_of(page) for page in (DOCS / "how-to").iterdir()} - {"docs/how-to/python.md"} <= found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("clinder up && clinder status", [["up"], ["status"]]),
        ('eval "$(clinder start org/name --format env)"', [["start", "org/name", "--format", "env"]]),
        ("trap 'clinder down' EXIT", [["down"]]),
        ("    6) clinder up ;;", [["up"]]),
        ("CLINDER_HUB=local clinder up -q > url", [["up", "-q"]]),
        ("if ! clinder plan --exit-code; then", [["plan", "--exit-code"]]),
        ("cat clinder.toml", []),
        ("cd clinder", []),
    ],
)
def test_invocations_are_found_in_shell(line: str, expected: list[list[str]]) -> None:
    assert list(invocations(line)) == expected


@pytest.mark.parametrize("arguments", [["pu"], ["up", "--nosuch"], ["start", "--format", "xml"], ["hub"], ["-x"]])
def test_an_invalid_command_does_not_parse(arguments: list[str]) -> None:
    with pytest.raises((AssertionError, typer.TyperException)):
        parse(arguments)


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "reference"], ids=name_of)
def test_commands_in_running_text_exist(page: Path) -> None:
    root: Any = typer.main.get_command(app)
    for words in re.findall(r"`clinder ([a-z][^`]*)`", page.read_text(encoding="utf-8")):
        assert words.split()[0] in root.commands, f"clinder {words}"


def test_every_block_has_a_tested_language() -> None:
    written_by_hand = [block for block in BLOCKS if not block.place.startswith("docs/reference/")]
    assert {block.language for block in written_by_hand} <= {"sh", "console", "toml", "json", "yaml", "python", "diff"}


# Links


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes from the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_have_targets(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_index_links_to_every_page() -> None:
    linked = re.findall(r"\]\(([^)#\s]+)", (DOCS / "index.md").read_text(encoding="utf-8"))
    assert {(DOCS / target).resolve() for target in linked} >= {*DOCS.rglob("*.md")} - {DOCS / "index.md"}


# The first two commands of the README


def test_ci_runs_the_second_command_of_the_readme() -> None:
    first, second = [block for block in BLOCKS if block.language == "sh" and block.place.startswith("README.md")][:2]
    assert len(first.commands) == len(second.commands) == 1
    assert second.text == "bash .ci/test\n"
    if not (ROOT / ".git").exists():
        pytest.skip("an unpacked source package has no CI files")
    assert re.search(r"^\s*bash \.ci/test$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)


# The tutorial


def normal(text: str) -> str:
    """Replace everything that differs from run to run."""
    text = re.sub(r"http://127\.0\.0\.1:\d+/user/[\w-]+/", "http://SESSION/", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "STAMP", text)
    return re.sub(r"\b(?:[\d.]+[hms])+(?=$|\))", "TIME", text, flags=re.MULTILINE)


def missing(block: Block, output: str) -> list[str]:
    """List the lines of a block that do not appear in the output in this order; other lines may be in between."""
    shown = [line for line in block.text.splitlines() if not re.match(r"[$>]( |$)", line) and line != "…"]
    lines = iter(output.splitlines())
    return [line for line in shown if normal(line) not in lines]


RUN = [block for block in BLOCKS if block.comment == "run"]


@pytest.mark.skipif(sys.platform == "win32", reason="the tutorial uses a POSIX shell")
def test_the_tutorial_gives_the_documented_output(tmp_path: Path) -> None:
    home = tmp_path.resolve() / "ada"
    home.mkdir()
    assert {block.place.partition(":")[0] for block in RUN} == {"docs/tutorial.md"}
    script = ["exec 2>&1"]
    for number, block in enumerate(RUN):
        script += [line[2:] for line in block.text.splitlines() if re.match(r"[$>] ", line)]
        script.append(f"echo; echo '--- end of block {number}'")
    try:
        ran = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=home,
            env=environment_variables(home),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    finally:
        if (home / "hello").is_dir():
            down(home / "hello", environment_variables(home))
    outputs = re.split(r"\n--- end of block \d+\n", normal(ran.stdout.replace(str(home), "/home/ada")))
    assert len(outputs) == len(RUN) + 1, ran.stdout
    for block, output in zip(RUN, outputs, strict=False):
        assert not missing(block, output), f"{block.place}\n{block.text}\n--- actual output:\n{output}"
    assert ran.returncode == 0


# JSON


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The `--json` output of each command by its command line, from one session of the embedded hub over HTTP."""
    root = tmp_path_factory.mktemp("json").resolve()
    folder = root / "project"
    folder.mkdir()
    (folder / "README.md").write_text("A project.\n", encoding="utf-8")
    author = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for arguments in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "--message", "Begin"]):
        subprocess.run(["git", *arguments], cwd=folder, env=environment_variables(root), check=True)
    serve = [CLINDER, "hub", "serve", "--port", "0", "--rate-limit", "9", "--poll", "1s"]
    env = environment_variables(root)
    with subprocess.Popen(serve, env=env, stderr=subprocess.PIPE, text=True) as hub:
        try:
            assert hub.stderr is not None
            address = re.search(r"http://[\d.:]+", hub.stderr.readline())
            assert address
            env |= {"CLINDER_HUB": address[0], "CLINDER_REPO": f"git:{folder.as_uri()}"}
            yield collect(folder, env)
        finally:
            down(folder, env)
            hub.terminate()
            hub.communicate(timeout=LIMIT_S)


def collect(folder: Path, env: dict[str, str]) -> dict[str, Any]:
    found = {}

    def run(line: str, *more: str) -> None:
        arguments = [CLINDER, *line.split()[1:], *more]
        ended = subprocess.run(arguments, cwd=folder, env=env, capture_output=True, timeout=LIMIT_S, check=False)
        found[line] = json.loads(ended.stdout)

    run("clinder plan --json")
    run("clinder up --json", "--session-warm", "off")
    run("clinder status --json", "--ref", "another")
    run("clinder hub check --json")
    run("clinder logs --json")
    run("clinder down --json")
    run("clinder plan --json --repo nothing")
    process = Process.current("up")
    pending = Pending(hub=env["CLINDER_HUB"], provider="gh", repo="org/name", ref="main", process=process)
    state = StateFolder(folder / ".clinder")
    kept = state.read()
    kept = state.write(replace(kept, pending=pending))
    run("clinder state show --json")
    state.write(replace(kept, pending=None))
    return found


def shape(value: Any, key: str = "") -> Any:
    """Reduce a document to its keys in their order and the types of its values; a list to its first entry."""
    if key in _FREE_FORM or value is None:
        return None
    if isinstance(value, dict):
        return [(name, shape(inner, name)) for name, inner in value.items()]
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


JSON = [pytest.param(block, id=block.place) for block in BLOCKS if block.language == "json"]


@pytest.mark.parametrize("block", JSON)
def test_json_has_the_documented_keys(block: Block, documents: dict[str, Any]) -> None:
    assert shape(json.loads(block.text)) == shape(documents[block.comment])


def test_the_json_of_every_command_is_documented(documents: dict[str, Any]) -> None:
    page = [block.comment for block in blocks_of(DOCS / "json.md") if block.language == "json"]
    assert sorted(page) == sorted(documents)


def strict(schema: Any) -> Any:
    """Forbid keys that the published schema does not name; it allows them for later versions."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "properties" in schema else {}
    return {**{key: strict(value) for key, value in schema.items()}, **closed}


@pytest.mark.parametrize("block", JSON)
def test_json_matches_its_schema(block: Block, documents: dict[str, Any]) -> None:
    definitions = strict(json.loads((DOCS / "output.schema.json").read_text(encoding="utf-8"))["$defs"])
    name = block.comment.removeprefix("clinder ").partition(" --json")[0]
    for document in (json.loads(block.text), documents[block.comment]):
        kind = "failure" if "error" in document else name
        jsonschema.validate(document, definitions[kind])
