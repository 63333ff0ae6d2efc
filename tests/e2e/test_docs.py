"""What README and docs show is true: commands parse, the tutorial runs, JSON has these keys, links lead somewhere."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
import yaml

import clinder
from clinder.cli.app import app
from clinder.state import Pending, Process, State, StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
BIN = Path(sys.executable).parent
CLINDER = str(BIN / "clinder")
LIMIT_S = 120.0
_TERMINATOR = re.compile(r"[();<>|&]+")
_BEFORE_COMMAND = re.compile(rf"{_TERMINATOR.pattern}|if|then|else|do|!|[A-Z_]+=.*", re.DOTALL)
_FREE_FORM = ("versions", "checks")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block: what language it is in, the comment before it, where it stands, its text."""

    language: str
    comment: str
    place: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The shell lines of the block: those after a prompt, where there are prompts."""
        lines = self.text.splitlines()
        if self.language == "console":
            return [line[2:] for line in lines if line.startswith("$ ")]
        return [line for line in lines if not line.lstrip().startswith("#")]


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(r"(?:<!-- (.+?) -->\s*)?^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
    blocks = []
    for found in pattern.finditer(text):
        comment, indent, language, body = found.groups()
        number = text.count("\n", 0, found.start(3)) + 1
        body = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
        blocks.append(Block(language, comment or "", f"{name_of(page)}:{number}", body))
    return blocks


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def invocations(line: str) -> Iterator[list[str]]:
    """Find what `clinder` is called with in a line of shell, also inside of `$(…)` and of quotes."""
    plain = line.replace('"$(', "$(").replace(')"', ")")
    lexer = shlex.shlex(plain, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    tokens = list(lexer)
    for index, token in enumerate(tokens):
        if token.startswith("clinder "):
            yield from invocations(token)
        elif token == "clinder" and (index == 0 or _BEFORE_COMMAND.fullmatch(tokens[index - 1])):
            rest = tokens[index + 1 :]
            end = next((place for place, word in enumerate(rest) if _TERMINATOR.fullmatch(word)), len(rest))
            yield rest[:end]


def parse(arguments: list[str]) -> None:
    """Parse a command line without running it."""
    command: Any = typer.main.get_command(app)
    rest = list(arguments)
    while hasattr(command, "commands"):
        assert rest, f"{arguments}: no command"
        if rest[0].startswith("-"):
            assert rest[0] in {option for parameter in command.params for option in parameter.opts} | {"--help"}
            return
        assert rest[0] in command.commands, f"{arguments}: no command {rest[0]}"
        command = command.commands[rest.pop(0)]
    command.make_context("clinder", rest)


SHOWN = [
    pytest.param(arguments, id=f"{block.place} {' '.join(arguments)}")
    for block in BLOCKS
    if block.language in ("sh", "console")
    for line in block.commands
    for arguments in invocations(line)
]


@pytest.mark.parametrize("arguments", SHOWN)
def test_a_command_that_is_shown_parses(arguments: list[str]) -> None:
    parse(arguments)


def test_commands_are_found_in_every_page_that_tells_of_them() -> None:
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
def test_a_wrong_command_would_not_parse(arguments: list[str]) -> None:
    with pytest.raises((AssertionError, typer.TyperException)):
        parse(arguments)


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "reference"], ids=name_of)
def test_commands_in_running_text_exist(page: Path) -> None:
    root: Any = typer.main.get_command(app)
    for words in re.findall(r"`clinder ([a-z][^`]*)`", page.read_text(encoding="utf-8")):
        assert words.split()[0] in root.commands, f"clinder {words}"


def test_every_block_is_of_a_language_that_is_tested() -> None:
    written_by_hand = [block for block in BLOCKS if not block.place.startswith("docs/reference/")]
    assert {block.language for block in written_by_hand} <= {"sh", "console", "toml", "json", "yaml", "python"}


# Examples: files that pages show, word for word

EXAMPLES = DOCS / "examples"
EXAMPLE_FILES = sorted(file for file in EXAMPLES.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
OWN_TESTS = ("hello", "python", "tools")
"""Folders whose files other tests run; a page need not show all of them."""


def included(block: Block) -> Path | None:
    """Name the file that a block shows: the comment before it does, from the folder of the documentation."""
    return DOCS / block.comment if block.comment.startswith("examples/") else None


INCLUDED = [pytest.param(block, id=block.place) for block in BLOCKS if included(block)]


@pytest.mark.parametrize("block", INCLUDED)
def test_an_example_on_a_page_is_the_file(block: Block) -> None:
    file = included(block)
    assert file is not None
    assert block.text == file.read_text(encoding="utf-8")


def test_every_example_is_on_a_page() -> None:
    shown = {included(block) for block in BLOCKS}
    assert {file for file in EXAMPLE_FILES if file.relative_to(EXAMPLES).parts[0] not in OWN_TESTS} <= shown


def texts(value: Any) -> Iterator[str]:
    """Find every text in a document of YAML or TOML, line by line."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield from value.splitlines()


def example_commands(file: Path) -> list[list[str]]:
    """Find what an example calls `clinder` with."""
    text = file.read_text(encoding="utf-8")
    readers = {".toml": tomllib.loads, ".yml": yaml.safe_load, ".yaml": yaml.safe_load, ".sh": str.splitlines}
    return [found for line in texts(readers[file.suffix](text)) for found in invocations(line)]


CONFIGURED = [
    file
    for file in EXAMPLE_FILES
    if file.suffix in (".toml", ".yml", ".yaml", ".sh") and file.relative_to(EXAMPLES).parts[0] not in OWN_TESTS
]


@pytest.mark.parametrize("file", CONFIGURED, ids=name_of)
def test_an_example_calls_clinder_rightly(file: Path) -> None:
    found = example_commands(file)
    assert found
    for arguments in found:
        parse(arguments)


PYTHON = [pytest.param(block, id=block.place) for block in BLOCKS if block.language == "python"]


@pytest.mark.parametrize("block", PYTHON)
def test_python_that_is_shown_compiles_and_imports_what_is_there(block: Block) -> None:
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("clinder"):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "clinder":
            assert node.attr in clinder.__all__


# What CI services run: their files, word for word, with stand-ins for what installs and for MyST

MYST = """#!/bin/sh
echo "$*" >> "$CALLS"
[ -n "$JUPYTER_BASE_URL" ] && [ -n "$JUPYTER_TOKEN" ] || exit 9
mkdir -p _build/html && echo "$BASE_URL" > _build/html/index.html
exit "$MYST_STATUS"
"""


def netlify() -> tuple[list[str], list[str]]:
    """The shells that Netlify starts, and those that it starts whatever became of the first."""
    build = tomllib.loads((EXAMPLES / "netlify" / "netlify.toml").read_text(encoding="utf-8"))["build"]
    assert build["publish"] == "_build/html"
    return [build["command"]], []


def read_the_docs() -> tuple[list[str], list[str]]:
    jobs = yaml.safe_load((EXAMPLES / "read-the-docs" / ".readthedocs.yaml").read_text(encoding="utf-8"))["build"][
        "jobs"
    ]
    return [*jobs["install"], *jobs["build"]["html"]], []


def gitlab_ci() -> tuple[list[str], list[str]]:
    job = yaml.safe_load((EXAMPLES / "gitlab-ci" / ".gitlab-ci.yml").read_text(encoding="utf-8"))["pages"]
    assert job["artifacts"]["paths"] == ["public"]
    return ["set -e\n" + "\n".join([*job["before_script"], *job["script"]])], ["\n".join(job["after_script"])]


SERVICES = {
    "netlify": (netlify, "_build/html/index.html", ""),
    "read-the-docs": (read_the_docs, "output/html/index.html", "/en/latest"),
    "gitlab-ci": (gitlab_ci, "public/index.html", ""),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "project"
    folder.mkdir()
    (folder / "clinder.toml").write_text('hub = "local"\nrepo = "."\n', encoding="utf-8")
    return folder


def stand_ins(folder: Path, status: int) -> dict[str, str]:
    """Programs that install nothing, and a MyST that notes how it was called and ends with this status."""
    folder.mkdir()
    quiet = "#!/bin/sh\nexit 0\n"
    scripts = {"pip": quiet, "apt-get": quiet, "myst": MYST}
    # The environment that it makes holds the programs of this one.
    scripts["python3"] = (
        f'#!/bin/sh\n[ "$1 $2" = "-m venv" ] || exec {shlex.quote(sys.executable)} "$@"\n'
        'mkdir -p "$3/bin" && : > "$3/bin/activate"\n'
    )
    for name, text in scripts.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    env = surroundings(folder.parent)
    return env | {
        "PATH": f"{folder}{os.pathsep}{env['PATH']}",
        "CLINDER_SESSION_WARM": "off",
        "CALLS": str(folder / "calls"),
        "MYST_STATUS": str(status),
        "READTHEDOCS_LANGUAGE": "en",
        "READTHEDOCS_VERSION": "latest",
        "READTHEDOCS_OUTPUT": str(folder.parent / "project" / "output"),
    }


def shells(lines: list[str], folder: Path, env: dict[str, str]) -> int:
    """Run each in a shell of its own, until one fails; returns the last exit status."""
    status = 0
    for line in lines:
        ran = subprocess.run(
            ["bash", "-c", line], cwd=folder, env=env, stdout=subprocess.DEVNULL, timeout=LIMIT_S, check=False
        )
        status = ran.returncode
        if status != 0:
            break
    return status


@pytest.mark.skipif(sys.platform == "win32", reason="CI services run a POSIX shell")
@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize("service", SERVICES)
def test_a_ci_service_builds_and_publishes_or_fails_and_no_session_is_left(
    project: Path, service: str, status: int
) -> None:
    read, published, base_url = SERVICES[service]
    env = stand_ins(project.parent / "programs", status)
    lines, after = read()
    try:
        assert shells(lines, project, env) == status
        assert shells(after, project, env) == 0
        looked = subprocess.run([CLINDER, "status"], cwd=project, env=env, capture_output=True, text=True, check=False)
        assert (looked.returncode, looked.stdout) == (6, "session  none\n")
    finally:
        down(project, env)
    assert (project.parent / "programs" / "calls").read_text() == "build --html --execute --strict\n"
    if status == 0:
        assert (project / published).read_text() == f"{base_url}\n"


# Scripts


@pytest.mark.skipif(sys.platform == "win32", reason="the scripts are for a POSIX shell")
@pytest.mark.parametrize(("script", "status"), [("several-commands", 0), ("without-files", 0), ("wait-for-hub", 5)])
def test_a_script_uses_a_session_and_leaves_none(project: Path, script: str, status: int) -> None:
    (project / "prepare.py").write_text(
        "import os, pathlib\npathlib.Path('url').write_text(os.environ['JUPYTER_BASE_URL'])\n"
    )
    (project / "build.py").write_text(f"import os, sys\nassert os.environ['JUPYTER_TOKEN']\nsys.exit({status})\n")
    env = surroundings(project.parent) | {"CLINDER_SESSION_WARM": "off", "CLINDER_HUB": "local"}
    arguments = {
        "without-files": [str(project)],
        "wait-for-hub": ["sh", "-c", "python3 prepare.py && python3 build.py"],
    }
    file = EXAMPLES / "scripts" / f"{script}.sh"
    try:
        ran = subprocess.run(
            [str(file), *arguments.get(script, [])],
            cwd=project,
            env=env,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert ran.returncode == status, ran.stderr
        assert "stopped: http://127.0.0.1:" in ran.stderr
        if script == "without-files":
            assert ran.stdout == "0 kernels\n"
        else:
            assert (project / "url").read_text() in ran.stderr
    finally:
        down(project, env)


# Links


def anchors(page: Path) -> set[str]:
    """Name the anchors of a page as GitHub makes them of its headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_index_leads_to_every_page() -> None:
    linked = re.findall(r"\]\(([^)#\s]+)", (DOCS / "index.md").read_text(encoding="utf-8"))
    assert {(DOCS / target).resolve() for target in linked} >= {*DOCS.rglob("*.md")} - {DOCS / "index.md"}


# The README's two commands


def test_the_second_command_of_the_readme_is_what_ci_runs() -> None:
    first, second = [block for block in BLOCKS if block.language == "sh" and block.place.startswith("README.md")][:2]
    assert len(first.commands) == len(second.commands) == 1
    assert second.text == "bash .ci/test\n"
    if not (ROOT / ".git").exists():
        pytest.skip("an unpacked package, which has no CI")
    assert re.search(r"^\s*bash \.ci/test$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)


# The tutorial


def surroundings(tmp_path: Path) -> dict[str, str]:
    """What commands get: a home and a cache of their own, clinder and this Python first on PATH."""
    kept = {name: value for name, value in os.environ.items() if name in ("LANG", "TMPDIR", "PYTHONPATH")}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return kept | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CLINDER_CACHE_DIR": str(tmp_path / "cache"),
        "NO_PROXY": "*",
    }


def normal(text: str) -> str:
    """Take out what differs from run to run."""
    text = re.sub(r"http://127\.0\.0\.1:\d+/user/[\w-]+/", "http://SESSION/", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "STAMP", text)
    return re.sub(r"\b(?:[\d.]+[hms])+(?=$|\))", "TIME", text, flags=re.MULTILINE)


def missing(block: Block, output: str) -> list[str]:
    """Name the lines that a block shows and that do not come, in this order; others may come between them."""
    shown = [line for line in block.text.splitlines() if not re.match(r"[$>]( |$)", line) and line != "…"]
    lines = iter(output.splitlines())
    return [line for line in shown if normal(line) not in lines]


RUN = [block for block in BLOCKS if block.comment == "run"]


@pytest.mark.skipif(sys.platform == "win32", reason="the tutorial's shell is a POSIX one")
def test_the_tutorial_runs_and_shows_what_it_says(tmp_path: Path) -> None:
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
            env=surroundings(home),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    finally:
        if (home / "hello").is_dir():
            down(home / "hello", surroundings(home))
    outputs = re.split(r"\n--- end of block \d+\n", normal(ran.stdout.replace(str(home), "/home/ada")))
    assert len(outputs) == len(RUN) + 1, ran.stdout
    for block, output in zip(RUN, outputs, strict=False):
        assert not missing(block, output), f"{block.place}\n{block.text}\n--- in truth:\n{output}"
    assert ran.returncode == 0


# JSON


def down(folder: Path, env: dict[str, str]) -> None:
    subprocess.run([CLINDER, "down"], cwd=folder, env=env, capture_output=True, timeout=LIMIT_S, check=False)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What each command prints with `--json`, by its command line, from one session of the embedded hub over HTTP."""
    root = tmp_path_factory.mktemp("json").resolve()
    folder = root / "project"
    folder.mkdir()
    (folder / "README.md").write_text("A project.\n", encoding="utf-8")
    author = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for arguments in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "--message", "Begin"]):
        subprocess.run(["git", *arguments], cwd=folder, env=surroundings(root), check=True)
    serve = [CLINDER, "hub", "serve", "--port", "0", "--rate-limit", "9", "--poll", "1s"]
    env = surroundings(root)
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
    StateFolder(folder / ".clinder").write(State(pending=pending))
    run("clinder state show --json")
    StateFolder(folder / ".clinder").write(State())
    return found


def shape(value: Any, key: str = "") -> Any:
    """Keep the keys of a document in their order, and the types of its values; of a list its first entry counts."""
    if key in _FREE_FORM or value is None:
        return None
    if isinstance(value, dict):
        return [(name, shape(inner, name)) for name, inner in value.items()]
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


JSON = [pytest.param(block, id=block.place) for block in BLOCKS if block.language == "json"]


@pytest.mark.parametrize("block", JSON)
def test_json_has_the_keys_that_are_shown(block: Block, documents: dict[str, Any]) -> None:
    assert shape(json.loads(block.text)) == shape(documents[block.comment])


def test_json_is_shown_of_every_command_that_prints_it(documents: dict[str, Any]) -> None:
    page = [block.comment for block in blocks_of(DOCS / "json.md") if block.language == "json"]
    assert sorted(page) == sorted(documents)
