from __future__ import annotations

import contextlib
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from clinder.model.errors import UsageError
from clinder.model.repository import RepositorySpec, read_repository

SHA = "e67fba914dc26d54ddd5ead705f9e792eb67d6a9"
RESOURCE = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "provider", "repo", "ref"),
    [
        # GitHub
        ("ProjectPythia/radar-cookbook", "gh", "ProjectPythia/radar-cookbook", None),
        ("  org/name  ", "gh", "org/name", None),
        ("org/name.git", "gh", "org/name", None),
        ("gh:org/name", "gh", "org/name", None),
        ("gh:org/name.git", "gh", "org/name", None),
        ("gh:https://github.com/org/name", "gh", "org/name", None),
        ("gh/org/name", "gh", "org/name", "HEAD"),
        ("gh/org/name/main", "gh", "org/name", "main"),
        ("gh/org/name/feature/x", "gh", "org/name", "feature/x"),
        ("https://github.com/org/name", "gh", "org/name", None),
        ("http://www.github.com/org/name/", "gh", "org/name", None),
        ("https://github.com/org/name.git", "gh", "org/name", None),
        ("https://github.com/org/name?tab=readme-ov-file", "gh", "org/name", None),
        ("https://github.com/org/name/tree/main", "gh", "org/name", "main"),
        ("https://github.com/org/name/tree/feature/x", "gh", "org/name", "feature/x"),
        ("https://github.com/org/name/tree/fix%231", "gh", "org/name", "fix#1"),
        (f"https://github.com/org/name/commit/{SHA}", "gh", "org/name", SHA),
        (f"https://github.com/org/name/commits/{SHA}", "gh", "org/name", SHA),
        ("https://github.com/org/name/releases", "gh", "org/name", None),
        ("https://github.com/org/name/releases/tag/v1.0", "gh", "org/name", "v1.0"),
        ("https://github.com/org/name/blob/main/notebooks/a.ipynb", "gh", "org/name", "main"),
        ("git@github.com:org/name.git", "gh", "org/name", None),
        ("git@github.com:org/name", "gh", "org/name", None),
        ("ssh://git@github.com/org/name.git", "gh", "org/name", None),
        # GitLab
        ("gl:group/project", "gl", "group/project", None),
        ("gl:group/sub/project", "gl", "group/sub/project", None),
        ("gl:https://gitlab.com/group/sub/project", "gl", "group/sub/project", None),
        ("gl/group%2Fsub%2Fproject/main", "gl", "group/sub/project", "main"),
        ("https://gitlab.com/group/project", "gl", "group/project", None),
        ("https://gitlab.com/group/sub/project.git", "gl", "group/sub/project", None),
        ("https://gitlab.com/group/sub/project/-/tree/feature/x", "gl", "group/sub/project", "feature/x"),
        (f"https://gitlab.com/group/project/-/commit/{SHA}", "gl", "group/project", SHA),
        ("https://gitlab.com/group/project/-/tags/v1", "gl", "group/project", "v1"),
        ("https://gitlab.com/group/project/-/blob/main/a.ipynb", "gl", "group/project", "main"),
        ("git@gitlab.com:group/sub/project.git", "gl", "group/sub/project", None),
        # self-hosted GitLab, and any git URL
        ("https://git.example.org/group/project/-/tree/main", "git", "https://git.example.org/group/project", "main"),
        (f"https://git.example.org:8443/g/s/p/-/commit/{SHA}", "git", "https://git.example.org:8443/g/s/p", SHA),
        ("https://codeberg.org/org/name", "git", "https://codeberg.org/org/name", None),
        ("https://git.example.org/name.git", "git", "https://git.example.org/name.git", None),
        ("https://git.example.org/my%20name.git", "git", "https://git.example.org/my%20name.git", None),
        ("git:https://git.example.org/name.git", "git", "https://git.example.org/name.git", None),
        ("git/https%3A%2F%2Fgit.example.org%2Fname/feature/x", "git", "https://git.example.org/name", "feature/x"),
        ("git@git.example.org:group/name.git", "git", "git@git.example.org:group/name.git", None),
        ("ssh://git@git.example.org:2222/name.git", "git", "ssh://git@git.example.org:2222/name.git", None),
        ("git://git.example.org/name", "git", "git://git.example.org/name", None),
        ("file:///srv/name.git", "git", "file:///srv/name.git", None),
        # gists
        ("gist:user/0123abcd", "gist", "user/0123abcd", None),
        ("https://gist.github.com/user/0123abcd", "gist", "user/0123abcd", None),
        ("https://gist.github.com/user/0123abcd.git", "gist", "user/0123abcd", None),
        (f"https://gist.github.com/user/0123abcd/{SHA}", "gist", "user/0123abcd", SHA),
        # archives
        ("zenodo:10.5281/zenodo.3242074", "zenodo", "10.5281/zenodo.3242074", None),
        ("10.5281/zenodo.3242074", "zenodo", "10.5281/zenodo.3242074", None),
        ("doi:10.5281/zenodo.3242074", "zenodo", "10.5281/zenodo.3242074", None),
        ("https://doi.org/10.5281/zenodo.3242074", "zenodo", "10.5281/zenodo.3242074", None),
        ("zenodo:https://doi.org/10.5281/zenodo.3242074", "zenodo", "10.5281/zenodo.3242074", None),
        ("https://zenodo.org/records/3242074", "zenodo", "10.5281/zenodo.3242074", None),
        ("https://zenodo.org/record/3242074", "zenodo", "10.5281/zenodo.3242074", None),
        ("https://zenodo.org/doi/10.5281/zenodo.3242074", "zenodo", "10.5281/zenodo.3242074", None),
        ("10.6084/m9.figshare.9782777.v1", "figshare", "10.6084/m9.figshare.9782777.v1", None),
        ("https://figshare.com/articles/code/a-title/9782777/3", "figshare", "10.6084/m9.figshare.9782777.v3", None),
        ("https://figshare.com/articles/9782777", "figshare", "10.6084/m9.figshare.9782777", None),
        (f"hydroshare:{RESOURCE}", "hydroshare", RESOURCE, None),
        (f"https://www.hydroshare.org/resource/{RESOURCE}/", "hydroshare", RESOURCE, None),
        (f"hydroshare:https://www.hydroshare.org/resource/{RESOURCE}", "hydroshare", RESOURCE, None),
        ("dataverse:10.7910/DVN/TJCLKP", "dataverse", "10.7910/DVN/TJCLKP", None),
        ("10.7910/DVN/TJCLKP", "dataverse", "10.7910/DVN/TJCLKP", None),
        (
            "https://dataverse.harvard.edu/dataset.xhtml?persistentId=doi:10.7910/DVN/TJCLKP",
            "dataverse",
            "10.7910/DVN/TJCLKP",
            None,
        ),
        ("ckan:https://demo.ckan.org/dataset/sample", "ckan", "https://demo.ckan.org/dataset/sample", None),
    ],
)
def test_a_repository_is_parsed_in_every_form(text: str, provider: str, repo: str, ref: str | None) -> None:
    link = read_repository(text)
    assert (link.provider, link.repo, link.ref) == (provider, repo, ref)


def test_the_web_page_of_a_file_gives_the_path_to_open() -> None:
    assert read_repository("https://github.com/org/name/blob/main/a/b.ipynb").path == "lab/tree/a/b.ipynb"


@pytest.mark.parametrize(
    ("link", "hub", "spec", "opened"),
    [
        ("https://mybinder.org/v2/gh/org/name/main", "https://mybinder.org", "gh/org/name/main", None),
        ("https://mybinder.org/v2/gh/org/name/feature/x/", "https://mybinder.org", "gh/org/name/feature/x", None),
        ("https://mybinder.org/v2/gh/org/name", "https://mybinder.org", "gh/org/name/HEAD", None),
        (
            "https://mybinder.org/v2/gh/org/name/main?labpath=a%2Fb.ipynb",
            "https://mybinder.org",
            "gh/org/name/main",
            "lab/tree/a/b.ipynb",
        ),
        (
            "https://mybinder.org/v2/gh/org/name/main?filepath=a.ipynb",
            "https://mybinder.org",
            "gh/org/name/main",
            "lab/tree/a.ipynb",
        ),
        (
            "https://mybinder.org/v2/gh/org/name/main?urlpath=%2Fvoila%2Ftree%2Fa.ipynb",
            "https://mybinder.org",
            "gh/org/name/main",
            "voila/tree/a.ipynb",
        ),
        (
            "https://binder.example.org:8443/services/binder/v2/gl/group%2Fsub%2Fproject/main",
            "https://binder.example.org:8443/services/binder",
            "gl/group/sub/project/main",
            None,
        ),
        (
            "http://localhost:8585/v2/git/https%3A%2F%2Fgit.example.org%2Fname/v1",
            "http://localhost:8585",
            "git/https://git.example.org/name/v1",
            None,
        ),
        (
            "https://mybinder.org/v2/zenodo/10.5281/zenodo.3242074/?urlpath=lab",
            "https://mybinder.org",
            "zenodo/10.5281/zenodo.3242074",
            "lab",
        ),
        (
            f"https://mybinder.org/v2/hydroshare/https%3A%2F%2Fwww.hydroshare.org%2Fresource%2F{RESOURCE}/",
            "https://mybinder.org",
            f"hydroshare/{RESOURCE}",
            None,
        ),
    ],
)
def test_a_binder_link_names_hub_repository_ref_and_path(link: str, hub: str, spec: str, opened: str | None) -> None:
    read = read_repository(link)
    assert (read.hub, str(read.spec()), read.path) == (hub, spec, opened)


@pytest.mark.parametrize("text", [".", "./", "./notebooks", "../up"])
def test_a_folder_is_relative_to_the_base(text: str, tmp_path: Path) -> None:
    link = read_repository(text, base=tmp_path / "a")
    assert (link.provider, Path(link.repo)) == ("local", (tmp_path / "a" / text).resolve())


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_repository("~/books").repo == str(tmp_path / "books")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a repository"),
        ("name", "is not a repository"),
        ("~nobody-of-this-name/book", "no such home folder"),
        ("a b/c", "is not a repository"),
        ("org/name\n", None),
        ("org/na\nme", "is not a repository"),
        ("org/name\x1b[0m", "is not a repository"),
        ("gh:name", "expected org/name"),
        ("gh:org/name/main", "expected org/name"),
        ("gh:../..", "expected org/name"),
        ("gh/org/../main", "expected org/name"),
        ("gist:user/xyz", "user/gist-id"),
        ("gl:project", "group/project, or group/subgroup/project"),
        ("gl:group/../project", "group/project, or group/subgroup/project"),
        ("git:org/name", "a URL that git can clone"),
        ("zenodo:3242074", "a DOI such as 10.5281/zenodo.3242074"),
        ("hydroshare:abc", "a resource id of 32 hexadecimal digits"),
        ("10.1234/unknown.1", "cannot determine the archive of the DOI"),
        ("https://github.com/org", "github.com/org is not a repository"),
        ("https://github.com/org/name/issues/3", "names no branch, tag or commit"),
        ("https://user:secret@git.example.org/x", "must not contain a user name or password"),
        ("https://[bad/x", "is not a URL"),
        ("https://git.example.org", "is not a repository"),
        ("https://mybinder.org/v2/gh/org", "expected org/name"),
    ],
)
def test_an_invalid_repository_is_refused_with_a_reason(text: str, reason: str | None) -> None:
    if reason is None:
        assert read_repository(text).repo == text.strip()
        return
    with pytest.raises(UsageError) as caught:
        read_repository(text)
    assert reason in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "ref",
    ["a b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a..b", "-x", "/x", "x/", "a@{1}", "a\nb", "\x7f"],
)
def test_a_ref_that_is_invalid_in_git_is_refused(ref: str) -> None:
    with pytest.raises(UsageError, match="cannot be a branch, tag or commit"):
        RepositorySpec("gh", "org/name", ref)


def test_a_ref_for_a_doi_is_refused() -> None:
    with pytest.raises(UsageError, match="takes no ref, but ref is 'main'"):
        RepositorySpec("zenodo", "10.5281/zenodo.3242074", "main")


def test_an_unknown_provider_is_refused_with_a_list() -> None:
    with pytest.raises(UsageError, match="unknown repository provider 'nope'") as caught:
        RepositorySpec("nope", "x", "y")
    assert "zenodo" in caught.value.hint


def test_an_omitted_ref_is_head() -> None:
    assert RepositorySpec("gh", "org/name").ref == "HEAD"


def test_a_given_ref_takes_precedence_over_the_link() -> None:
    assert read_repository("https://github.com/org/name/tree/main").spec("v1").ref == "v1"


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (RepositorySpec("gh", "org/name", "feature/x"), "gh/org/name/feature/x"),
        (RepositorySpec("gh", "org/name", "fix#1%"), "gh/org/name/fix%231%25"),
        (RepositorySpec("gist", "user/0123abcd"), "gist/user/0123abcd/HEAD"),
        (RepositorySpec("gl", "group/sub/project", "a/b"), "gl/group%2Fsub%2Fproject/a/b"),
        (RepositorySpec("git", "https://h.org/x?y", "main"), "git/https%3A%2F%2Fh.org%2Fx%3Fy/main"),
        (RepositorySpec("zenodo", "10.5281/zenodo.1"), "zenodo/10.5281/zenodo.1"),
        (RepositorySpec("hydroshare", RESOURCE), f"hydroshare/{RESOURCE}"),
        (RepositorySpec("dataverse", "10.7910/DVN/TJCLKP"), "dataverse/10.7910/DVN/TJCLKP"),
        (RepositorySpec("ckan", "https://h.org/dataset/x"), "ckan/https%3A%2F%2Fh.org%2Fdataset%2Fx"),
    ],
)
def test_the_build_path_is_encoded_for_its_provider(spec: RepositorySpec, path: str) -> None:
    assert spec.build_path == path
    assert RepositorySpec.from_build_path(path) == spec


REFS = st.from_regex(r"[A-Za-z0-9_#%+=&;,!é][A-Za-z0-9_#%+=&;é.-]{0,8}(/[A-Za-z0-9_#%+é-]{1,8}){0,3}", fullmatch=True)
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}", fullmatch=True)


@given(st.sampled_from(["gh", "gl", "git"]), NAMES, NAMES, REFS)
def test_a_spec_round_trips_through_its_build_path(provider: str, org: str, name: str, ref: str) -> None:
    assume(".." not in ref)
    repo = f"https://git.example.org/{org}/{name}?x=1&y=%20" if provider == "git" else f"{org}/{name}"
    spec = RepositorySpec(provider, repo, ref)
    assert RepositorySpec.from_build_path(spec.build_path) == spec
    assert quote(spec.build_path, safe="/%") == spec.build_path or "%" in spec.build_path


BEGINNINGS = ["", "https://", "https://github.com/", "git@", "https://h/v2/gh/", "gl:", "10.5281/", "gist:"]


@given(st.sampled_from(BEGINNINGS), st.text(max_size=40) | st.text(alphabet="abc/:@.-_?#%[]~ \\", max_size=40))
def test_any_text_is_parsed_or_refused(beginning: str, text: str) -> None:
    with contextlib.suppress(UsageError):
        read_repository(beginning + text)
