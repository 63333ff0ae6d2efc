"""The provider table: properties of every entry, and the rule that no other module names a provider."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import clinder
from clinder.model.errors import UsageError
from clinder.model.providers import LOCAL, PROVIDERS, cloneable_providers
from clinder.model.repository import RepositorySpec, read_repository

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(clinder.__file__).parent
TABLE = PACKAGE / "model" / "providers.py"
REPOSITORIES = {
    "gh": "org/{}",
    "gist": "user/{}",
    "gl": "group/{}/project",
    "git": "https://git.example.org/{}/project.git",
    "zenodo": "10.5281/{}/zenodo.3242074",
    "figshare": "10.6084/{}/m9.figshare.9782777.v1",
    "hydroshare": "{}",
    "dataverse": "10.7910/{}/TJCLKP",
    "ckan": "https://ckan.example.org/{}/dataset",
    LOCAL: "/srv/{}/notebooks",
}


@pytest.mark.parametrize("provider", [*PROVIDERS, LOCAL])
@pytest.mark.parametrize("segment", [".", "..", "../..", "x/../y"])
def test_no_provider_accepts_dot_segments(provider: str, segment: str) -> None:
    with pytest.raises(UsageError, match=r": expected .*, without \. or \.\. segments"):
        RepositorySpec(provider, REPOSITORIES[provider].format(segment))


@pytest.mark.parametrize(
    "text", ["zenodo:10.5281/../../x", "zenodo/10.5281/%2e%2e/x", "https://doi.org/10.5281/zenodo.1/.."]
)
def test_dot_segments_are_refused_in_every_form(text: str) -> None:
    with pytest.raises(UsageError, match="is not a repository of provider zenodo"):
        read_repository(text)


@pytest.mark.parametrize("ref", [".", "./x", "x/.", "x/./y"])
def test_a_ref_with_dot_segments_is_refused(ref: str) -> None:
    with pytest.raises(UsageError, match="cannot be a branch, tag or commit"):
        RepositorySpec("gh", "org/name", ref)


def test_dots_within_a_name_are_accepted() -> None:
    assert read_repository("org/name.py").repo == "org/name.py"
    assert read_repository("https://git.example.org/a..b/.c/d.git").repo == "https://git.example.org/a..b/.c/d.git"


@pytest.mark.parametrize(
    ("spec", "web_url", "clone_url", "commit_url"),
    [
        (
            RepositorySpec("gh", "org/name"),
            "https://github.com/org/name",
            "https://github.com/org/name.git",
            "https://github.com/org/name/tree/c0ffee",
        ),
        (
            RepositorySpec("gist", "user/0123abcd"),
            "https://gist.github.com/user/0123abcd",
            "https://gist.github.com/0123abcd.git",
            "https://gist.github.com/user/0123abcd/c0ffee",
        ),
        (
            RepositorySpec("gl", "group/sub/project"),
            "https://gitlab.com/group/sub/project",
            "https://gitlab.com/group/sub/project.git",
            "https://gitlab.com/group/sub/project/tree/c0ffee",
        ),
        (
            RepositorySpec("git", "https://git.example.org/{name}"),
            "https://git.example.org/{name}",
            "https://git.example.org/{name}",
            None,
        ),
        (RepositorySpec("zenodo", "10.5281/zenodo.1"), "https://doi.org/10.5281/zenodo.1", None, None),
        (RepositorySpec("ckan", "https://ckan.example.org/x"), "https://ckan.example.org/x", None, None),
        (RepositorySpec(LOCAL, "/srv/x", "main"), "/srv/x", "/srv/x", None),
    ],
    ids=str,
)
def test_a_repository_has_web_clone_and_commit_urls(
    spec: RepositorySpec, web_url: str, clone_url: str | None, commit_url: str | None
) -> None:
    assert (spec.web_url, spec.clone_url, spec.commit_url("c0ffee")) == (web_url, clone_url, commit_url)


def test_an_unknown_doi_hints_at_the_archives_with_dois() -> None:
    with pytest.raises(UsageError) as caught:
        read_repository("10.1234/x")
    assert caught.value.hint == "Use zenodo:10.1234/x, figshare:10.1234/x or dataverse:10.1234/x."


def test_a_cloneable_provider_has_everything_a_hub_displays() -> None:
    for provider in cloneable_providers().values():
        assert provider.form_label
        assert provider.takes_ref


# A single place


def named_providers(file: Path) -> Iterator[tuple[int, str]]:
    """The places where code names a provider: by its id, or by a prefix such as `gh:` or `gh/`.

    `git` is also a program and `local` a hub; these count where a value is compared with them.
    """
    ids = {*PROVIDERS, LOCAL}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare):
            named = ids
            operands = [node.left, *node.comparators]
            constants = operands + [item for each in operands for item in getattr(each, "elts", [])]
        else:
            named = ids - {"git", LOCAL}
            constants = [node]
        for constant in constants:
            if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                beginning = re.match(r"(\w+)[:/]", constant.value)
                prefix = beginning[1] if beginning and "\n" not in constant.value else ""
                if constant.value in named or prefix in ids - {LOCAL}:
                    yield constant.lineno, constant.value


@pytest.mark.parametrize(
    "file", [pytest.param(file, id=file.relative_to(PACKAGE).as_posix()) for file in sorted(PACKAGE.rglob("*.py"))]
)
def test_only_the_table_names_a_provider(file: Path) -> None:
    if file == TABLE:
        assert {value for _, value in named_providers(file)} >= PROVIDERS.keys() - {"git"}
    else:
        assert not list(named_providers(file))
