"""Malicious files, made to consume time or memory, or to crash clinder: parsed or refused within two seconds."""

from __future__ import annotations

import os
import sys
import time
import tomllib
from typing import TYPE_CHECKING

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from clinder.cli import invoke
from clinder.config.discovery import discover
from clinder.config.loading import load_config
from clinder.model.errors import ConfigError, UsageError
from clinder.system.untrusted import UnreadableError, read_toml
from clinder.system.untrusted_yaml import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEBI = 1024 * 1024
LIMIT_S = 10.0
MOST_MEMORY = 200 * MEBI
LONGEST_MESSAGE = 5000


@pytest.fixture(autouse=True)
def bounds() -> Iterator[None]:
    """Time and memory limits for every test in this file, generous for a slow machine."""
    began, used = time.monotonic(), most_memory()
    yield
    assert time.monotonic() - began < LIMIT_S
    assert most_memory() - used < MOST_MEMORY


def most_memory() -> int:
    """The peak memory of this process in bytes; only its growth is meaningful."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def written(folder: Path, text: str, name: str = "clinder.toml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


# TOML

REFUSED = {
    "an integer of 5,000 digits": ("retry = " + "9" * 5000, "a number or date in it is invalid"),
    "a key of 50,000 parts": (".".join("a" * 50_000) + " = 1", "a key of more than 20 parts"),
    "a header of 50,000 parts": ("[" + ".".join("a" * 50_000) + "]", "a key of more than 20 parts"),
    "an array of tables of 50,000 parts": ("[[" + ".".join("a" * 50_000) + "]]", "a key of more than 20 parts"),
    "an inline key of 50,000 parts": ("a = {" + ".".join("a" * 50_000) + " = 1}", "a key of more than 20 parts"),
    "a quoted key of 50,000 parts": (".".join(["'a.b'"] * 50_000) + " = 1", "a key of more than 20 parts"),
    "a spaced key of 50,000 parts": (" . \t".join(['"a"'] * 50_000) + " = 1", "a key of more than 20 parts"),
    "a long key after strings and comments": (
        '#"""\na = """x\\"""" # \'\'\'\nb = \'#\'\n' + ".".join("a" * 50_000) + " = 1",
        "a key of more than 20 parts",
    ),
    "nested arrays": ("a = " + "[" * 100_000, "nested too deeply"),
    "nested tables": ("a = " + "{a = " * 100_000, "nested too deeply"),
    "a file over 1 MiB": ("#" * (MEBI + 1), "larger than 1048576 bytes"),
    "an unterminated string": ('a = "' + '\\"' * 500_000, "Unterminated string"),
    "an unterminated multi-line string": ('a = """' + '\\"' * 500_000, "Unterminated string"),
    "unterminated quotes": ("a = " + '"\\' * 500_000, "is not valid TOML"),
    "a table that is declared twice": (f"[{'a' * 500_000}]\n" * 2, "Cannot declare"),
    "an invalid date": ("a = 2026-13-45", "is not valid TOML"),
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_malicious_toml_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(file=written(tmp_path, text), environment={})
    assert reason in caught.value.message
    assert len(caught.value.message) < LONGEST_MESSAGE


SAID = {
    "an integer of 50,000 hexadecimal digits": f"retry = 0x{'f' * 50_000}",
    "a huge number of attempts": f"retry.attempts = 0x{'f' * 50_000}",
    "a huge duration": f"timeouts.build = 0x{'f' * 50_000}",
    "a float of 100,000 digits": f"ref = 1.{'1' * 100_000}",
    "a long string": f"hub = '{'x' * 500_000}'",
    "a long host": f"hub = 'https://{'x' * 500_000}.org'",
    "a long port": f"hub = 'https://x:{'9' * 8000}'",
    "a long repository": f"repo = '{'x' * 500_000}'",
    "a repository with a long path": f"repo = 'https://github.com/a/b/{'x' * 8000}'",
    "a repository with a long host": f"repo = 'https://[{'x' * 8000}/'",
    "a long folder": f"repo = '../{'x' * 8000}'",
    "a long ref": f"ref = '{'~' * 8000}'",
    "a long duration": f"timeouts.stop = '{'1' * 500_000}'",
    "a long path": f"session.path = '..{'/x' * 250_000}'",
    "a long list": "ref = [" + "1," * 100_000 + "]",
    "nested lists": "ref = " + "[" * 90 + "]" * 90,
    "many hubs": "hub = [" + "'http://a.org'," * 50_000 + "]",
    "a long key": f"{'x' * 500_000} = 1",
    "many keys": "\n".join(f"k{number} = 1" for number in range(50_000)),
    "many keys in a table": "[session]\n" + "\n".join(f"k{number} = 1" for number in range(50_000)),
    "many tables": "\n".join(f"[t{number}]" for number in range(50_000)),
    "a key that moves the cursor": '"\\u001b[31m\\n::error::" = 1',
}


@pytest.mark.parametrize("text", SAID.values(), ids=SAID)
def test_a_message_shortens_long_values(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    assert invoke(["plan", "--repo", "org/name"] if "repo" not in text else ["plan"]) == 2
    printed = capsys.readouterr().err
    assert printed.isascii() or "…" in printed
    assert len(printed) < LONGEST_MESSAGE
    assert "\x1b" not in printed
    assert "\n::" not in printed


def test_dotted_text_outside_of_keys_is_accepted(tmp_path: Path) -> None:
    dotted = ".".join("a" * 100)
    text = (
        f'# {dotted}\nbasic = "{dotted} \\" {dotted}" # {dotted}\nliteral = \'{dotted}\'\n'
        f'long = """\n{dotted} ""\n\\"""{dotted}"""""\n'
        f"raw = '''{dotted}\n'{dotted}'''''\nlist = [1.5, {'2.5, ' * 100}]\n"
    )
    document = read_toml(written(tmp_path, text))
    assert document == tomllib.loads(text)
    assert document["raw"].endswith("a''")


@pytest.mark.parametrize("parts", [1, 2, 19, 20, 21, 40])
@pytest.mark.parametrize("part", ["a", "'x.y'", '"#"', "1-2_"])
def test_the_limit_counts_parts_of_any_form(tmp_path: Path, part: str, parts: int) -> None:
    file = written(tmp_path, f'[first]\nb = "x" # c.d\n[{" . ".join([part] * parts)}]\n')
    if parts <= 20:
        assert read_toml(file)
    else:
        with pytest.raises(UnreadableError, match="a key of more than 20 parts"):
            read_toml(file)


TEXTS = st.text(alphabet="ab.#'\"\\ \n\t=[]", max_size=60)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("untrusted") / "file.toml"


@given(st.dictionaries(TEXTS, TEXTS | st.lists(st.floats(allow_nan=False)) | st.dictionaries(TEXTS, TEXTS), max_size=5))
def test_any_generated_toml_is_accepted(file: Path, document: dict[str, object]) -> None:
    file.write_text(tomli_w.dumps(document, multiline_strings=True), encoding="utf-8")
    assert read_toml(file) == tomllib.loads(file.read_text(encoding="utf-8"))


# YAML


def bomb(levels: int, width: int, start: str = "[lol]") -> str:
    aliases = (", ".join([f"*a{level}"] * width) for level in range(levels - 1))
    lines = [f"a0: &a0 {start}", *(f"a{level}: &a{level} [{found}]" for level, found in enumerate(aliases, 1))]
    return "\n".join(lines) + f"\nexecute: {{timeout: *a{levels - 1}}}\nlaunch_buttons: *a{levels - 1}\n"


def merging(levels: int, width: int) -> str:
    aliases = (", ".join([f"*a{level}"] * width) for level in range(levels - 1))
    return "a0: &a0 {k: 1}\n" + "\n".join(f"a{n}: &a{n}\n  <<: [{found}]\n  k: 1" for n, found in enumerate(aliases, 1))


REFUSED_YAML = {
    "aliases of aliases": (bomb(9, 9), "values, with aliases expanded"),
    "aliases as a provider": (
        bomb(9, 9) + "project: {jupyter: {binder: {repo: a/b, provider: *a8}}}",
        "values, with aliases expanded",
    ),
    "merges of merges": (merging(9, 9), "values, with aliases expanded"),
    "an alias inside its target": ("a: &a [1, *a]", "an alias is inside"),
    "a merge inside its target": ("a: &a {<<: *a}", "an alias is inside"),
    "many values": ("- a\n" * 200_000, "values, with aliases expanded"),
    "many values on one line": ("[" + "a," * 200_000 + "]", "values, with aliases expanded"),
    "nested lists": ("[" * 100_000, "nested too deeply"),
    "nested block lists": ("- " * 100_000, "nested too deeply"),
    "nested tables": ("{a: " * 100_000, "nested too deeply"),
    "a number in base 60": ("a: 1" + ":1" * 300_000, "too long"),
    "a number of 5,000 digits": ("a: " + "1" * 5000, "too long"),
    "a float of 5,000 digits": ("a: 1." + "1" * 5000, "too long"),
    "a custom tag": (f"a: !{'x' * 500_000} 1", "could not determine a constructor"),
    "a Python object": ("a: !!python/object/apply:os.system [id]", "could not determine a constructor"),
    "an undefined alias": (f"a: *{'x' * 500_000}", "found undefined alias"),
    "a file over 1 MiB": ("#" * (MEBI + 1), "larger than 1048576 bytes"),
    "an invalid date": ("a: 2026-13-45", "a number or date in it is invalid (month must be in 1..12)"),
}


@pytest.mark.parametrize(("text", "reason"), REFUSED_YAML.values(), ids=REFUSED_YAML)
@pytest.mark.parametrize("name", ["_config.yml", "myst.yml"])
def test_malicious_yaml_is_refused(tmp_path: Path, name: str, text: str, reason: str) -> None:
    written(tmp_path, text, name)
    with pytest.raises(UsageError) as caught:
        discover(tmp_path, repo="org/name")
    assert reason in caught.value.message
    assert name in caught.value.message
    assert len(caught.value.message) < LONGEST_MESSAGE


def test_a_few_anchors_and_merges_are_accepted(tmp_path: Path) -> None:
    text = "base: &base {a: 1, b: [x, y]}\nother:\n  <<: *base\n  b: 2\nagain: *base\n" + "".join(
        f"copy{number}: {{<<: *base, n: {number}}}\n" for number in range(1000)
    )
    document = read_yaml(written(tmp_path, text, "_config.yml"))
    assert isinstance(document, dict)
    assert document["other"] == {"a": 1, "b": 2}
    assert document["again"] == {"a": 1, "b": ["x", "y"]}
    assert document["copy999"] == {"a": 1, "b": ["x", "y"], "n": 999}


ODD = ["*list", "*table", "[1]", "{a: 1}", "null", "2026-01-01", "!!binary aGk=", "!!set {a}", "true"]


@pytest.mark.parametrize("value", ODD)
def test_a_value_of_the_wrong_type_is_not_shown(
    tmp_path: Path, value: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = f"url: {value}, repo: {value}, ref: {value}, provider: {value}, binderhub_url: {value}, branch: {value}"
    document = (
        f"list: &list [{'x, ' * 1000}]\ntable: &table {{k: *list}}\n"
        f"execute: {{timeout: {value}, execute_notebooks: {value}}}\n"
        f"repository: {{{keys}}}\nlaunch_buttons: {{{keys}}}\n"
        f"project: {{github: {value}, binder: {value}, tags: {value}, jupyter: {{binder: {{{keys}}}}}}}\n"
    )
    for name in ("_config.yml", "myst.yml"):
        written(tmp_path, document, name)
    monkeypatch.chdir(tmp_path)
    assert invoke(["init", "--repo", "org/name"]) == 0
    printed = capsys.readouterr()
    assert len(printed.err) < LONGEST_MESSAGE
    assert (tmp_path / "clinder.toml").read_text().count("\n") == 3


def test_long_yaml_strings_are_truncated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "x" * 200_000
    written(tmp_path, f"execute: {{timeout: '{long}'}}\nlaunch_buttons: {{binderhub_url: '{long}'}}\n", "_config.yml")
    written(tmp_path, f"project: {{github: 'https://{long}', binder: '{long}'}}\n", "myst.yml")
    monkeypatch.chdir(tmp_path)
    assert invoke(["init", "--repo", "org/name"]) == 2
    assert len(capsys.readouterr().err) < LONGEST_MESSAGE


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")
def test_files_that_are_not_regular_are_ignored_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "_config.yml")
    (tmp_path / "myst.yml").symlink_to("/dev/zero")
    assert discover(tmp_path, repo="org/name").values["repo"].given == "org/name"
