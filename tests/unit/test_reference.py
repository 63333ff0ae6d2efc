"""Generated pages are up to date, and handwritten ones agree with the code."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import tomli_w

import clinder
from clinder.config import loading as config
from clinder.config.loading import load_config
from clinder.config.schema import SCHEMA_URL, config_schema, written
from clinder.config.settings import ENVIRONMENT_PREFIX, Settings, setting_keys, variable_name
from clinder.model import events
from clinder.model.errors import ClinderError, ConfigError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "clinder.toml.example"
GENERATOR = runpy.run_path(str(ROOT / "docs" / "generate.py"))
PAGES: dict[Path, str] = GENERATOR["pages"]()
VALIDATOR = jsonschema.Draft202012Validator(config_schema())


def keys_of(document: dict[str, Any]) -> list[str]:
    keys = []
    for name, value in document.items():
        keys += [f"{name}.{inner}" for inner in value] if isinstance(value, dict) else [name]
    return keys


def read(document: dict[str, Any], folder: Path) -> Settings:
    """Read a document as a `clinder.toml`."""
    file = folder / "clinder.toml"
    file.write_text(tomli_w.dumps(document), encoding="utf-8")
    return load_config(file=file, environment={}).settings


def invalid_keys(document: object) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(document)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PAGES[path], "run `python docs/generate.py`"


def test_there_are_no_obsolete_generated_files() -> None:
    assert {*(ROOT / "docs" / "reference").iterdir()} <= set(PAGES)


def test_the_schema_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(config_schema())
    assert config_schema()["$id"] == SCHEMA_URL


def test_the_schema_has_exactly_the_known_keys() -> None:
    properties = config_schema()["properties"]
    assert keys_of({name: item.get("properties", item["description"]) for name, item in properties.items()}) == list(
        setting_keys()
    )
    assert invalid_keys({"hubb": "local"})
    assert invalid_keys({"retry": {"attempt": 1}})


@pytest.mark.parametrize(
    "document",
    [
        {"hub": "local"},
        {"hub": ["https://a.example", "https://b.example"]},
        {"timeouts": {"build": "1h30m", "stop": 90, "connect": "500ms"}},
        {"retry": {"attempts": 1}},
    ],
    ids=str,
)
def test_the_schema_accepts_what_clinder_accepts(document: dict[str, Any], tmp_path: Path) -> None:
    assert not invalid_keys(document)
    read(document, tmp_path)


@pytest.mark.parametrize(
    "document",
    [
        {"hub": []},
        {"hub": 1},
        {"repo": 1},
        {"timeouts": {"build": "soon"}},
        {"timeouts": {"build": -1}},
        {"timeouts": "10s"},
        {"retry": {"attempts": 0}},
        {"retry": {"attempts": 101}},
    ],
    ids=str,
)
def test_the_schema_rejects_what_clinder_rejects(document: dict[str, Any], tmp_path: Path) -> None:
    assert invalid_keys(document)
    with pytest.raises(ConfigError, match="1 error"):
        read(document, tmp_path)


def test_the_defaults_in_the_schema_are_valid_and_have_the_same_meaning(tmp_path: Path) -> None:
    properties = config_schema()["properties"]
    defaults = {
        name: {inner: facts["default"] for inner, facts in item["properties"].items()}
        if "properties" in item
        else item["default"]
        for name, item in properties.items()
    }
    assert not invalid_keys(defaults)
    assert read({**defaults, "repo": "org/name"}, tmp_path) == Settings(repo="org/name")


def test_several_hubs_are_written_as_a_list() -> None:
    assert written(("https://a.example", "https://b.example")) == ["https://a.example", "https://b.example"]


def test_the_example_has_every_key_once_in_order() -> None:
    document = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    assert keys_of(document) == list(setting_keys())


def test_the_example_is_valid_under_its_schema() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert text.startswith(f"#:schema {SCHEMA_URL}\n")
    assert not invalid_keys(tomllib.loads(text))


def test_the_example_contains_the_defaults() -> None:
    settings = load_config(file=EXAMPLE, environment={}).settings
    assert replace(settings, repo="") == Settings()
    assert settings.repo


def toml_blocks() -> list[Any]:
    """The blocks that show a `clinder.toml`: those without a comment before them that names another file."""
    blocks = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = re.sub(r"<!-- examples/\S+ -->\s*```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        found = re.findall(r"^ *```toml\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
        name = page.relative_to(ROOT).as_posix()
        blocks += [pytest.param(text, id=f"{name}-{number}") for number, text in enumerate(found, 1)]
    return blocks


@pytest.mark.parametrize("text", toml_blocks())
def test_a_toml_example_is_a_valid_clinder_toml(text: str, tmp_path: Path) -> None:
    assert not invalid_keys(tomllib.loads(text))
    file = tmp_path / "clinder.toml"
    file.write_text(text, encoding="utf-8")
    load_config(file=file, environment={}).spec()


def test_the_declaration_in_the_example_folder_is_valid() -> None:
    file = ROOT / "docs" / "examples" / "hello" / "clinder.toml"
    assert not invalid_keys(tomllib.loads(file.read_text(encoding="utf-8")))
    assert load_config(file=file, environment={}).spec().repo == str(file.parent.resolve())


def test_every_variable_is_documented() -> None:
    assert set(GENERATOR["VARIABLES"]) == {ENVIRONMENT_PREFIX + name for name in config._NOT_SETTINGS}


def test_no_page_names_an_unknown_variable() -> None:
    known = {variable_name(key) for key in setting_keys()} | set(GENERATOR["VARIABLES"])
    misspelt_on_purpose = {"CLINDER_REEF"}
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        named = set(re.findall(r"CLINDER_[A-Z_]+", page.read_text(encoding="utf-8")))
        assert named <= known | misspelt_on_purpose, page


def test_the_python_reference_has_every_public_name() -> None:
    page = PAGES[ROOT / "docs" / "reference" / "python.md"]
    for name in ("launch", "session", "stop", "Session"):
        assert f"clinder.{name}" in page
    for field in fields(clinder.Session):
        assert f"- `{field.name}`: " in page
    for notice in get_args(events.Progress):
        assert f"| `{notice.__name__}` | " in page


@pytest.mark.parametrize("page", ["README.md", "docs/exit-statuses.md"])
def test_the_table_has_the_exit_status_of_every_error(page: str) -> None:
    def statuses(error: type[ClinderError]) -> set[int]:
        return {error.exit_status}.union(*map(statuses, error.__subclasses__()))

    table = re.findall(r"^\| ([\d, ]+) \|", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    listed = {int(number) for cell in table for number in cell.split(",")}
    assert {status for status in statuses(ClinderError) if status < 10} | {0, 10, 130, 143} <= listed


def test_the_schema_on_disk_is_valid_json() -> None:
    assert json.loads((ROOT / "docs" / "clinder.schema.json").read_text(encoding="utf-8")) == config_schema()
