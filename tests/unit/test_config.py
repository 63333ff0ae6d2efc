from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from clinder.config.loading import Config, load_config
from clinder.config.settings import option_name, setting_keys, variable_name
from clinder.model.errors import ConfigError
from clinder.system.places import find_file, find_state_dir

if TYPE_CHECKING:
    from pathlib import Path

VALUES: dict[str, tuple[str, str, object]] = {
    # key: as a string, as TOML, parsed
    "hub": ("https://h.example.org", '"https://h.example.org"', ("https://h.example.org",)),
    "repo": ("org/name", '"org/name"', "org/name"),
    "ref": ("v1", '"v1"', "v1"),
    "timeouts.connect": ("11s", '"11s"', timedelta(seconds=11)),
    "timeouts.silence": ("1m31s", "91", timedelta(seconds=91)),
    "timeouts.build": ("1h", '"1h"', timedelta(hours=1)),
    "timeouts.launch": ("0.5", "0.5", timedelta(seconds=0.5)),
    "timeouts.stop": ("500ms", '"500ms"', timedelta(seconds=0.5)),
    "retry.attempts": ("7", "7", 7),
    "retry.backoff": ("0", "0", timedelta(0)),
    "retry.wait": ("1m", '"1m"', timedelta(minutes=1)),
    "session.path": ("tree", '"tree"', "tree"),
    "session.warm": ("off", '"off"', "off"),
}


def toml(folder: Path, text: str) -> Path:
    path = folder / "clinder.toml"
    path.write_text(text, encoding="utf-8")
    return path


def load(file: Path | None = None, environment: dict[str, str] | None = None, **options: object) -> Config:
    named = {key.replace("__", "."): value for key, value in options.items()}
    return load_config(options=named, file=file, environment=environment or {})


def value_of(config: Config, key: str) -> object:
    value: Any = config.settings
    for name in key.split("."):
        value = getattr(value, name)
    return value


def problems(file: Path | None = None, environment: dict[str, str] | None = None, **options: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(file, environment, **options)
    return caught.value.problems


def test_every_key_has_an_example() -> None:
    assert list(VALUES) == list(setting_keys())


@pytest.mark.parametrize("key", VALUES)
def test_every_key_is_read_from_the_file(tmp_path: Path, key: str) -> None:
    table, _, name = key.rpartition(".")
    heading = f"[{table}]\n" if table else ""
    config = load(toml(tmp_path, f"{heading}{name} = {VALUES[key][1]}\n"))
    assert value_of(config, key) == VALUES[key][2]
    assert config.sources[key] == "clinder.toml"


@pytest.mark.parametrize("key", VALUES)
def test_every_key_is_read_from_the_environment(key: str) -> None:
    config = load(environment={variable_name(key): VALUES[key][0]})
    assert value_of(config, key) == VALUES[key][2]
    assert config.sources[key] == variable_name(key)


@pytest.mark.parametrize("key", VALUES)
def test_every_key_is_read_from_an_option(key: str) -> None:
    config = load_config(options={key: VALUES[key][0]}, environment={})
    assert value_of(config, key) == VALUES[key][2]
    assert config.sources[key] == option_name(key)


@pytest.mark.parametrize("key", VALUES)
def test_every_key_but_the_repository_has_a_default(key: str) -> None:
    assert load().sources[key] == "default"


def test_options_precede_the_environment_the_file_and_the_defaults(tmp_path: Path) -> None:
    file = toml(tmp_path, 'ref = "file"\n[timeouts]\nbuild = "1m"\nlaunch = "1m"\n')
    environment = {"CLINDER_REF": "environment", "CLINDER_TIMEOUTS_BUILD": "2m"}
    config = load(file, environment, ref="option")
    assert [config.describe(key) for key in ("ref", "timeouts.build", "timeouts.launch", "timeouts.stop")] == [
        "ref = option (--ref)",
        "timeouts.build = 2m (CLINDER_TIMEOUTS_BUILD)",
        "timeouts.launch = 1m (clinder.toml)",
        "timeouts.stop = 1m (default)",
    ]


def test_an_empty_variable_is_ignored() -> None:
    assert load(environment={"CLINDER_REF": ""}).sources["ref"] == "default"


@pytest.mark.parametrize(
    "text", ["https://a.org https://b.org/", "https://a.org,https://b.org", " https://a.org, https://b.org "]
)
def test_a_variable_can_list_several_hubs(text: str) -> None:
    config = load(environment={"CLINDER_HUB": text})
    assert config.hubs == ("https://a.org", "https://b.org")
    assert config.describe("hub") == "hub = https://a.org, https://b.org (CLINDER_HUB)"


def test_the_file_can_list_several_hubs(tmp_path: Path) -> None:
    assert load(toml(tmp_path, 'hub = ["https://a.org/", "local"]')).hubs == ("https://a.org", "local")


@pytest.mark.parametrize(
    ("hub", "reason"),
    [
        ("mybinder.org", "did you mean https://mybinder.org?"),
        ("ftp://x.org", 'is neither the URL of a hub (https://…) nor "local"'),
        ("https://", "is neither the URL of a hub"),
        ("https://x.org/\x1b[0m", "is neither the URL of a hub"),
        ("https://u:secret@x.org", "must not contain a user name or password"),
        ("https://x.org?a=b", "set `repo` to use a Binder link"),
        ("https://[x", "hub"),
        ("https://x.org:port", "hub"),
        ("https://x.org:99999", "hub"),
        ([], "expected at least one hub"),
        (5, "expected the URL of a hub, or a list of URLs"),
        ([5], "expected the URL of a hub, or a list of URLs"),
    ],
)
def test_an_invalid_hub_is_refused_with_a_reason(hub: object, reason: str) -> None:
    [problem] = problems(hub=hub)
    assert problem.startswith("hub: ")
    assert problem.endswith("(--hub)")
    assert reason in problem
    assert "secret" not in problem


def test_all_errors_in_the_file_are_reported_at_once(tmp_path: Path) -> None:
    file = toml(
        tmp_path,
        'hub = "mybinder.org"\nrepo = "nonsense"\nref = 5\nrpeo = "x"\nretry = 3\n'
        '[timeouts]\nbuild = "soon"\nsilnce = "1s"\n[session]\nwarm = 1\n',
    )
    with pytest.raises(ConfigError) as caught:
        load(file)
    for reason in (
        "rpeo is not a known key: did you mean repo? (clinder.toml)",
        "retry must be a table, [retry], not 3 (clinder.toml)",
        "timeouts.silnce is not a known key: did you mean timeouts.silence? (clinder.toml)",
        "repo: 'nonsense' is not a repository (clinder.toml)",
        "hub: 'mybinder.org' is neither the URL of a hub",
        "ref: expected a string, not 5 (clinder.toml)",
        "timeouts.build: 'soon' is not a duration: write 90s, 10m, 1h30m, or a number of seconds (clinder.toml)",
        "session.warm: expected a string, not 1 (clinder.toml)",
    ):
        assert reason in caught.value.message
    assert len(caught.value.problems) == 8
    assert caught.value.message.startswith(f"{file}: 8 errors")
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("line", "near"),
    [
        ('reff = "x"', ": did you mean ref?"),
        ('repository = "x"', ": did you mean repo?"),
        ('warm = "off"', ": did you mean session.warm?"),
        ('build = "1m"', ": did you mean timeouts.build?"),
        ("[timeout]\nbuild = 1", ": did you mean [timeouts]?"),
        ("[session]\nwram = 1", ": did you mean session.warm?"),
        ('zzzzqqqq = "x"', ""),
    ],
)
def test_an_unknown_key_is_reported_with_a_suggestion(tmp_path: Path, line: str, near: str) -> None:
    [problem] = problems(toml(tmp_path, line))
    assert problem.endswith(f" is not a known key{near} (clinder.toml)")


def test_the_value_of_an_unknown_key_is_not_shown(tmp_path: Path) -> None:
    assert "hunter2" not in str(problems(toml(tmp_path, 'build_token = "hunter2"')))


def test_a_misspelled_variable_gives_a_warning() -> None:
    config = load(environment={"CLINDER_TIMEOUT_BUILD": "1m", "CLINDER_BUILD_TOKEN": "x", "CLINDER_CONFIG": "y"})
    assert config.warnings == ("CLINDER_TIMEOUT_BUILD is not a clinder variable: did you mean CLINDER_TIMEOUTS_BUILD?",)


@pytest.mark.parametrize("attempts", [0, -1, 101, "many", 1.5, True])
def test_the_number_of_attempts_is_from_1_to_100(attempts: object) -> None:
    [problem] = problems(retry__attempts=attempts)
    assert problem.startswith("retry.attempts: ")


@pytest.mark.parametrize("key", [key for key in VALUES if key.startswith("timeouts.")])
def test_a_timeout_of_zero_is_refused(key: str) -> None:
    [problem] = problems(environment={variable_name(key): "0s"})
    assert problem.startswith(f"{key}: ")


@pytest.mark.parametrize("text", ["hub =", '"', "\x00", "a = 1\na = 2", "[" * 10000])
def test_invalid_toml_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load(toml(tmp_path, text))


def test_invalid_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clinder.toml").write_bytes(b'ref = "\xff"')
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load(tmp_path / "clinder.toml")


def test_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "clinder.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read: it is a folder"):
        load(tmp_path / "clinder.toml")


# Links


LINK = "https://hub.example.org/v2/gh/org/name/v1?urlpath=voila"


def test_a_binder_link_sets_hub_ref_and_path(tmp_path: Path) -> None:
    config = load(toml(tmp_path, f'repo = "{LINK}"'))
    assert config.hubs == ("https://hub.example.org",)
    assert str(config.spec()) == "gh/org/name/v1"
    assert config.settings.session.path == "voila"
    assert config.describe("ref") == "ref = v1 (the link in repo, clinder.toml)"


def test_explicit_settings_take_precedence_over_a_link(tmp_path: Path) -> None:
    config = load(toml(tmp_path, f'repo = "{LINK}"\nref = "v2"\nhub = "https://other.example.org"'))
    assert (config.hubs, config.spec().ref) == (("https://other.example.org",), "v2")


def test_a_link_in_an_option_takes_precedence_over_the_file(tmp_path: Path) -> None:
    config = load(toml(tmp_path, 'ref = "main"\nhub = "https://other.example.org"'), repo=LINK)
    assert (config.hubs, config.spec().ref) == (("https://hub.example.org",), "v1")


def test_an_option_takes_precedence_over_a_link_in_the_file(tmp_path: Path) -> None:
    assert load(toml(tmp_path, f'repo = "{LINK}"'), ref="v3").spec().ref == "v3"


def test_a_ref_for_a_doi_is_reported_with_its_source(tmp_path: Path) -> None:
    [problem] = problems(toml(tmp_path, 'ref = "main"'), repo="10.5281/zenodo.1")
    assert problem == "ref: provider zenodo takes no ref, but ref is 'main' (clinder.toml)"


def test_a_folder_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    config = load(toml(tmp_path, 'hub = "local"\nrepo = "./book"'))
    assert config.spec().repo == str((tmp_path / "book").resolve())


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    [problem] = problems(toml(tmp_path, 'hub = "local"\nrepo = "./book"'))
    assert problem == f"repo: the folder {tmp_path.resolve() / 'book'} does not exist (clinder.toml)"


def test_only_the_embedded_hub_accepts_a_folder(tmp_path: Path) -> None:
    [problem] = problems(toml(tmp_path, 'repo = "."'))
    assert "which only the embedded hub can build" in problem


def test_without_a_repository_there_is_no_spec(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no clinder\.toml"):
        load().spec()
    with pytest.raises(ConfigError, match=r"clinder\.toml has no repo"):
        load(toml(tmp_path, "")).spec()


# Locations


def test_the_file_is_found_in_a_parent_folder(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_file(tmp_path / "a" / "b") != tmp_path / "clinder.toml"
    file = toml(tmp_path, "")
    assert find_file(tmp_path / "a" / "b") == file


def test_the_state_is_next_to_the_file_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = toml(tmp_path, "")
    assert load(file).state_dir == tmp_path / ".clinder"
    monkeypatch.setenv("CLINDER_STATE_DIR", str(tmp_path / "s"))
    assert find_state_dir(file) == tmp_path / "s"
    assert find_state_dir(file, tmp_path / "given") == tmp_path / "given"
