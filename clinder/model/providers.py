"""The table of repository providers.

Ids, repository formats and encodings follow BinderHub's source (`binderhub/repoproviders.py`). To add a provider, add
an entry to `PROVIDERS`; no other module names a provider.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from clinder.model.display import show_value
from clinder.model.errors import UsageError
from clinder.model.web_pages import ANY_HOST, Address, Page, forge_page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from clinder.model.web_pages import PageReader

DOI_RESOLVER = r"(?:doi:|https?://(?:dx\.)?doi\.org/)"
"""A regular expression for the optional prefix of a DOI."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """A service or protocol that hubs get repositories from.

    URL templates can contain `{repo}` (the repository), `{name}` (the part of it after the last slash) and `{commit}`.

    Attributes:
        id: the prefix in `gh:org/name`, and the first segment of a build path.
        name: the display name.
        example: an example or description of a repository, to follow "expected".
        pattern: a regular expression that matches a whole repository.
        takes_ref: whether a branch, tag or commit can be chosen.
        one_segment: whether the repository is one percent-encoded segment of a build path, instead of two.
        pages: the readers of its web pages, by host (without `www.`) or `ANY_HOST`.
        ssh_hosts: the hosts of ssh URLs that belong to this provider.
        dois: regular expressions for the prefixes of its DOIs.
        normalize: a function that converts other forms, such as a URL, into the repository.
        web_url: the URL template of a repository's web page.
        clone_url: the URL template to clone from; `None` if git cannot clone the repository.
        commit_url: the URL template of a commit's web page.
        thebe_name: its name in thebe, used for `binder.provider` in `myst.yml`.
        form_label: the label in the form of a hub; defaults to `name`.
        spec_pattern: a regular expression that matches the part of a build path after the id.
        spec_form: the format of that part, if hubs require a ref; `None` if they use the default branch without one.
    """

    id: str
    name: str
    example: str
    pattern: str
    takes_ref: bool = False
    one_segment: bool = False
    pages: Mapping[str, PageReader] = field(default_factory=dict)
    ssh_hosts: tuple[str, ...] = ()
    dois: tuple[str, ...] = ()
    normalize: Callable[[str], str] = str
    web_url: str | None = None
    clone_url: str | None = None
    commit_url: str | None = None
    thebe_name: str | None = None
    form_label: str | None = None
    spec_pattern: str = "[^/]+/.+"
    spec_form: str | None = None


def _without_suffix(repo: str) -> str:
    return repo.removesuffix(".git")


def _doi(text: str) -> str:
    """Extract the DOI from its URL, which hubs accept as well."""
    return re.sub(f"^{DOI_RESOLVER}", "", text, flags=re.IGNORECASE)


def _resource_id(text: str) -> str:
    found = re.search(r"[0-9a-f]{32}", text)
    return found[0] if found else text


def _github_page(address: Address) -> Page:
    found = re.fullmatch(r"([\w.-]+/[\w.-]+?)(?:\.git)?(?:/(.*))?", address.path)
    if not found:
        raise UsageError(f"{address} is not a repository", hint=repository_hint())
    return forge_page(address, found[1], found[2] or "")


def _gist_page(address: Address) -> Page:
    user, _, rest = address.path.partition("/")
    gist, _, revision = rest.removesuffix(".git").partition("/")
    return Page(f"{user}/{gist}", revision or None)


def _gitlab_page(address: Address) -> Page:
    repo, _, page = address.path.partition("/-/")
    return forge_page(address, _without_suffix(repo), page)


def _self_hosted_gitlab_page(address: Address) -> Page | None:
    """Parse the URL of a page on a self-hosted GitLab, which contains `/-/`."""
    repo, marker, page = address.raw_path.partition("/-/")
    return forge_page(address, f"{address.origin}/{repo}", unquote(page)) if marker else None


def _zenodo_page(address: Address) -> Page | None:
    found = re.match(r"(?:records?|doi)/(?:10\.5281/zenodo\.)?(\d+)", address.path)
    return Page(f"10.5281/zenodo.{found[1]}") if found else None


def _figshare_page(address: Address) -> Page | None:
    found = re.match(r"articles/(?:[^/]+/)*?(\d+)(?:/(\d+))?$", address.path)
    return Page(f"10.6084/m9.figshare.{found[1]}" + (f".v{found[2]}" if found[2] else "")) if found else None


def _hydroshare_page(address: Address) -> Page | None:
    found = re.match(r"resource/([0-9a-f]{32})", address.path)
    return Page(found[1]) if found else None


def _dataverse_page(address: Address) -> Page | None:
    doi = parse_qs(address.query).get("persistentId", [""])[0].removeprefix("doi:")
    return Page(doi) if doi else None


PROVIDERS: dict[str, Provider] = {
    provider.id: provider
    for provider in (
        Provider(
            id="gh",
            name="GitHub",
            example="org/name",
            pattern=r"[\w.-]+/[\w.-]+",
            takes_ref=True,
            pages={"github.com": _github_page},
            ssh_hosts=("github.com",),
            normalize=_without_suffix,
            web_url="https://github.com/{repo}",
            clone_url="https://github.com/{repo}.git",
            commit_url="https://github.com/{repo}/tree/{commit}",
            thebe_name="github",
            form_label="GitHub repository name or URL",
            spec_pattern="[^/]+/[^/]+/.+",
            spec_form="user/repo/ref",
        ),
        Provider(
            id="gist",
            name="GitHub Gist",
            example="user/gist-id",
            pattern=r"[\w.-]+/[0-9a-fA-F]+",
            takes_ref=True,
            pages={"gist.github.com": _gist_page},
            web_url="https://gist.github.com/{repo}",
            clone_url="https://gist.github.com/{name}.git",
            commit_url="https://gist.github.com/{repo}/{commit}",
            thebe_name="gist",
            form_label="Gist ID (username/gistId) or URL",
            spec_pattern="[^/]+/[^/]+(/[^/]+)?",
        ),
        Provider(
            id="gl",
            name="GitLab",
            example="group/project, or group/subgroup/project",
            pattern=r"[\w.-]+(/[\w.-]+)+",
            takes_ref=True,
            one_segment=True,
            pages={"gitlab.com": _gitlab_page},
            ssh_hosts=("gitlab.com",),
            normalize=_without_suffix,
            web_url="https://gitlab.com/{repo}",
            clone_url="https://gitlab.com/{repo}.git",
            commit_url="https://gitlab.com/{repo}/tree/{commit}",
            thebe_name="gitlab",
            form_label="GitLab repository name or URL",
        ),
        Provider(
            id="git",
            name="Git repository",
            example="a URL that git can clone",
            pattern=r"((https?|git|ssh|file)://.+|[\w.-]+@[\w.-]+:.+)",
            takes_ref=True,
            one_segment=True,
            pages={ANY_HOST: _self_hosted_gitlab_page},
            web_url="{repo}",
            clone_url="{repo}",
            thebe_name="git",
            form_label="Arbitrary git repository URL",
        ),
        Provider(
            id="zenodo",
            name="Zenodo",
            example="a DOI such as 10.5281/zenodo.3242074",
            pattern=r"10\.\d+/.+",
            pages={"zenodo.org": _zenodo_page},
            dois=(r"10\.5281/zenodo\.",),
            normalize=_doi,
            web_url="https://doi.org/{repo}",
        ),
        Provider(
            id="figshare",
            name="figshare",
            example="a DOI such as 10.6084/m9.figshare.9782777.v1",
            pattern=r"10\.\d+/.+",
            pages={"figshare.com": _figshare_page},
            dois=(r"10\.\d+/m9\.figshare\.",),
            normalize=_doi,
            web_url="https://doi.org/{repo}",
        ),
        Provider(
            id="hydroshare",
            name="HydroShare",
            example="a resource id of 32 hexadecimal digits",
            pattern=r"[0-9a-f]{32}",
            one_segment=True,
            pages={"hydroshare.org": _hydroshare_page},
            normalize=_resource_id,
            web_url="https://www.hydroshare.org/resource/{repo}",
        ),
        Provider(
            id="dataverse",
            name="Dataverse",
            example="a DOI such as 10.7910/DVN/TJCLKP",
            pattern=r"10\.\d+/.+",
            pages={"dataverse.harvard.edu": _dataverse_page},
            dois=(r"10\.7910/DVN/",),
            normalize=_doi,
            web_url="https://doi.org/{repo}",
        ),
        Provider(
            id="ckan",
            name="CKAN",
            example="the URL of a dataset",
            pattern=r"https?://.+",
            one_segment=True,
            web_url="{repo}",
        ),
    )
}
"""The providers that a hub can have, by id."""

LOCAL = "local"
"""The id of the provider for folders on this machine, which only the embedded hub can build."""

_FOLDER = Provider(
    id=LOCAL,
    name="Folder",
    example="a folder whose path is UTF-8, without control characters",
    pattern=r".+",
    takes_ref=True,
    web_url="{repo}",
    clone_url="{repo}",
)

SHORTHAND = PROVIDERS["gh"]
"""The provider of `org/name` without a prefix."""

FALLBACK = PROVIDERS["git"]
"""The provider of URLs that no other provider recognizes."""


def find_provider(provider: str) -> Provider:
    """Get a provider by its id.

    Raises:
        UsageError: there is no such provider.
    """
    if provider == LOCAL:
        return _FOLDER
    if provider not in PROVIDERS:
        raise UsageError(f"unknown repository provider {show_value(provider)}", hint=repository_hint())
    return PROVIDERS[provider]


def cloneable_providers() -> dict[str, Provider]:
    """Get the providers that git can clone from, by id; the embedded hub supports these."""
    return {provider.id: provider for provider in PROVIDERS.values() if provider.clone_url}


def repository_hint() -> str:
    """Get a hint that lists the forms in which a repository can be given."""
    return (
        f"Give a repository as {SHORTHAND.example} ({SHORTHAND.name}), PROVIDER:REPOSITORY (providers: "
        f"{', '.join(PROVIDERS)}), a DOI, a git URL, the web page of a repository, or a Binder link."
    )
