"""What is built: a repository spec (provider, repository, ref), read from whatever a user has at hand.

Forms and encodings follow BinderHub's repository providers, by its source (`binderhub/repoproviders.py`):
`gh` takes `user/repo/ref`, where only the ref may hold further slashes; `git`, `gl`, `hydroshare` and `ckan`
want their repository percent-encoded as one path segment; a DOI is its own version and takes no ref.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from clinder.model.display import show_text, show_value
from clinder.model.errors import UsageError
from clinder.model.paths import absolute

LOCAL = "local"
"""The provider of a folder on this machine, which only the embedded hub can build."""

DEFAULT_REF = "HEAD"

_WITH_REF = ("gh", "gist", "gl", "git")
_WITHOUT_REF = ("zenodo", "figshare", "hydroshare", "dataverse", "ckan")
_ONE_SEGMENT = ("gl", "git", "hydroshare", "ckan")
PROVIDERS = (*_WITH_REF, *_WITHOUT_REF)

_FORMS = {
    "gh": (r"[\w.-]+/[\w.-]+", "org/name"),
    "gist": (r"[\w.-]+/[0-9a-fA-F]+", "user/gist-id"),
    "gl": (r"[\w.-]+(/[\w.-]+)+", "group/project, or group/subgroup/project"),
    "git": (r"((https?|git|ssh|file)://.+|[\w.-]+@[\w.-]+:.+)", "a URL that git can clone"),
    "zenodo": (r"10\.\d+/.+", "a DOI such as 10.5281/zenodo.3242074"),
    "figshare": (r"10\.\d+/.+", "a DOI such as 10.6084/m9.figshare.9782777.v1"),
    "hydroshare": (r"[0-9a-f]{32}", "a resource id of 32 hexadecimal digits"),
    "dataverse": (r"10\.\d+/.+", "a DOI such as 10.7910/DVN/TJCLKP"),
    "ckan": (r"https?://.+", "the URL of a dataset"),
    LOCAL: (r".+", "a folder whose path is UTF-8, without control characters"),
}
_DOI_PROVIDERS = (
    (r"10\.5281/zenodo\.", "zenodo"),
    (r"10\.\d+/m9\.figshare\.", "figshare"),
    (r"10\.7910/DVN/", "dataverse"),
)
_FORBIDDEN_IN_REF = re.compile(r"[\x00-\x20\x7f\ud800-\udfff~^:?*\[\\]|\.\.|^[-/]|/$|@\{")
_DOTS = re.compile(r"(^|/)\.{1,2}(/|$)")
"""Segments that a URL does not keep: they would lead to another path of the hub."""
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and what stands for the bytes of a path that is not UTF-8: a URL can hold neither."""
_LONGEST_TEXT = 8192
_BINDER_LINK = re.compile(rf"/v2/(?=({'|'.join(PROVIDERS)})/.)")
_HINT = (
    "Give a repository as org/name (GitHub), PROVIDER:REPOSITORY (providers: "
    + ", ".join(PROVIDERS)
    + "), a DOI, a git URL, the web page of a repository, or a Binder link."
)


@dataclass(frozen=True, slots=True)
class RepositorySpec:
    """A provider, a repository and a ref: what a hub builds.

    Attributes:
        provider: one of `PROVIDERS`, or `LOCAL`.
        repo: in the provider's own form, not encoded: `org/name`, a DOI, a URL, an absolute folder.
        ref: branch, tag or commit; empty for providers that know none.
    """

    provider: str
    repo: str
    ref: str = ""

    def __post_init__(self) -> None:
        form, example = _FORMS.get(self.provider, (None, ""))
        if form is None:
            raise UsageError(f"unknown repository provider {show_value(self.provider)}", hint=_HINT)
        is_path = self.provider in ("gh", "gist", "gl") and _DOTS.search(self.repo)
        if is_path or _UNUSABLE.search(self.repo) or not re.fullmatch(form, self.repo):
            raise UsageError(
                f"{show_value(self.repo)} is not a repository of provider {self.provider}: expected {example}"
            )
        if takes_ref(self.provider):
            object.__setattr__(self, "ref", self.ref or DEFAULT_REF)
            if _FORBIDDEN_IN_REF.search(self.ref):
                raise UsageError(
                    f"{show_value(self.ref)} cannot be a branch, tag or commit", hint="See `git help check-ref-format`."
                )
        elif self.ref not in ("", DEFAULT_REF):
            raise UsageError(
                f"provider {self.provider} takes no ref, but ref is {show_value(self.ref)}",
                hint="A DOI or dataset names its version itself: leave ref out.",
            )
        else:
            object.__setattr__(self, "ref", "")

    @property
    def build_path(self) -> str:
        """The spec as the path after `/build/`, percent-encoded as the provider wants it."""
        repo = quote(self.repo, safe="" if self.provider in _ONE_SEGMENT else "/")
        ref = f"/{quote(self.ref, safe='/')}" if self.ref else ""
        return f"{self.provider}/{repo}{ref}"

    @classmethod
    def from_build_path(cls, path: str) -> RepositorySpec:
        """Read a spec back from the path after `/build/` or `/v2/`, percent-encoded as it stands in the URL.

        Raises:
            UsageError: the path is no spec of a known provider.
        """
        provider, _, rest = path.strip("/").partition("/")
        segments = rest.split("/")
        if provider not in PROVIDERS:
            raise UsageError(f"unknown repository provider {show_value(provider)}", hint=_HINT)
        if not takes_ref(provider):
            return cls(provider, _bare(provider, unquote(rest)))
        width = 1 if provider in _ONE_SEGMENT else 2
        return cls(provider, unquote("/".join(segments[:width])), unquote("/".join(segments[width:])))

    def __str__(self) -> str:
        if self.provider == LOCAL:
            return self.repo if self.ref == DEFAULT_REF else f"{self.repo} at {self.ref}"
        return "/".join(part for part in (self.provider, self.repo, self.ref) if part)


@dataclass(frozen=True, slots=True)
class RepositoryLink:
    """What a user's text says: surely a repository, maybe also a ref, a hub, and what to open in the session."""

    provider: str
    repo: str
    ref: str | None = None
    hub: str | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        self.spec()

    def spec(self, ref: str | None = None) -> RepositorySpec:
        """Make the repository spec; `ref` wins over the link's own.

        Raises:
            UsageError: repository and ref do not go together.
        """
        return RepositorySpec(self.provider, self.repo, ref or self.ref or "")


def takes_ref(provider: str) -> bool:
    """Whether this provider's repositories have branches, tags or commits to choose from."""
    return provider in _WITH_REF or provider == LOCAL


def read_repository(text: str, *, base: Path | None = None) -> RepositoryLink:
    """Read a repository in any form that a user has at hand.

    Args:
        text: `org/name`, `PROVIDER:REPOSITORY`, `PROVIDER/REPOSITORY/REF`, a DOI, a git URL (https or ssh), the web
            page of a repository, branch or commit, a Binder launch link, or a folder.
        base: what a relative folder is relative to; the current folder if left out.

    Raises:
        UsageError: the text has none of these forms.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST_TEXT or _UNUSABLE.search(text):
        raise UsageError(f"{show_value(text)} is not a repository", hint=_HINT)
    prefix, colon, rest = text.partition(":")
    if colon and prefix in PROVIDERS and not text.startswith("git://"):
        return _prefixed(prefix, rest)
    if (
        text.startswith(("./", "../", "/", "~", ".\\", "..\\"))
        or text in (".", "..")
        or re.match(r"[A-Za-z]:[\\/]", text)
    ):
        return RepositoryLink(LOCAL, _folder(text, base))
    if doi := re.fullmatch(r"(?:doi:|https?://(?:dx\.)?doi\.org/)?(10\.\d+/\S+)", text, re.IGNORECASE):
        return _doi(doi[1])
    if re.match(r"(https?|git|ssh|file)://", text) or re.match(r"[\w.-]+@[\w.-]+:", text):
        return _url(text)
    if text.partition("/")[0] in PROVIDERS and text.count("/") > 1:
        spec = RepositorySpec.from_build_path(text)
        return RepositoryLink(spec.provider, spec.repo, spec.ref or None)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        return RepositoryLink("gh", text.removesuffix(".git"))
    raise UsageError(f"{show_value(text)} is not a repository", hint=_HINT)


def _folder(text: str, base: Path | None) -> str:
    """Make a folder's path absolute, without links; whether there is such a folder shows later."""
    try:
        folder = Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"{show_value(text)} names no home folder of this machine") from None
    return os.path.realpath(base / folder if base else absolute(folder))


def _prefixed(provider: str, rest: str) -> RepositoryLink:
    if provider in ("gh", "gl", "gist") and re.match(r"https?://", rest):
        link = _url(rest)
        if link.provider == provider:
            return link
    rest = _bare(provider, rest)
    return RepositoryLink(provider, rest.removesuffix(".git") if provider in ("gh", "gl") else rest)


def _bare(provider: str, repo: str) -> str:
    """Take the DOI or the resource id out of its web address, which hubs accept in its place."""
    if provider == "hydroshare" and (found := re.search(r"[0-9a-f]{32}", repo)):
        return found[0]
    if provider in ("zenodo", "figshare", "dataverse"):
        return re.sub(r"^(doi:|https?://(dx\.)?doi\.org/)", "", repo, flags=re.IGNORECASE)
    return repo


def _doi(doi: str) -> RepositoryLink:
    for pattern, provider in _DOI_PROVIDERS:
        if re.match(pattern, doi, re.IGNORECASE):
            return RepositoryLink(provider, doi)
    raise UsageError(
        f"the DOI {show_text(doi)} does not show which archive holds it",
        hint="Name it: zenodo:DOI, figshare:DOI or dataverse:DOI.",
    )


def _url(text: str) -> RepositoryLink:
    """Read a URL: Binder links first, then the sites whose pages are known, then whatever git can clone."""
    if ssh := re.fullmatch(r"(?:ssh://)?(?:[\w.-]+@)?(github\.com|gitlab\.com)[:/](.+?)(?:\.git)?/?", text):
        return RepositoryLink("gh" if ssh[1] == "github.com" else "gl", ssh[2])
    if not text.startswith(("http://", "https://")):
        return RepositoryLink("git", text)
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError as error:
        raise UsageError(f"{show_value(text)} is not a URL: {show_text(str(error))}") from error
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "a repository URL must not hold a user name or password",
            hint="Hubs clone in public; leave the part before @ out.",
        )
    if binder := _BINDER_LINK.search(parts.path):
        return _binder_link(text, parts.path, binder.start(), parts.query)
    path = unquote(parts.path).strip("/")
    reader = _SITES.get(host)
    known = reader(path, parts.query) if reader else None
    return known or _git_page(f"{parts.scheme}://{parts.netloc}", parts.path.strip("/"))


def _binder_link(text: str, path: str, start: int, query: str) -> RepositoryLink:
    parts = urlsplit(text)
    spec = RepositorySpec.from_build_path(path[start + len("/v2/") :])
    given = parse_qs(query)
    opened = None
    if "urlpath" in given:
        opened = given["urlpath"][0].lstrip("/")
    elif found := given.get("labpath") or given.get("filepath"):
        opened = f"lab/tree/{found[0].lstrip('/')}"
    hub = f"{parts.scheme}://{parts.netloc}{path[:start]}"
    return RepositoryLink(spec.provider, spec.repo, spec.ref or None, hub=hub, path=opened)


def _page(provider: str, repo: str, page: str) -> RepositoryLink:
    """Read what follows a repository in its web address: `tree/REF`, `blob/REF/FILE`, `commit/SHA`, …"""
    kind, _, rest = page.partition("/")
    if not page or page == "releases":
        return RepositoryLink(provider, repo)
    if kind in ("tree", "commit", "commits", "tags") and rest:
        return RepositoryLink(provider, repo, rest)
    if kind == "releases" and rest.startswith("tag/"):
        return RepositoryLink(provider, repo, rest.removeprefix("tag/"))
    if kind == "blob" and "/" in rest:
        ref, _, file = rest.partition("/")
        return RepositoryLink(provider, repo, ref, path=f"lab/tree/{file}")
    raise UsageError(
        f"the page {show_value(page)} of {provider}:{show_text(repo)} names no branch, tag or commit",
        hint="Give the repository's own page, or that of a branch (/tree/…), tag or commit.",
    )


def _github(path: str, _query: str) -> RepositoryLink:
    found = re.fullmatch(r"([\w.-]+/[\w.-]+?)(?:\.git)?(?:/(.*))?", path)
    if not found:
        raise UsageError(f"github.com/{show_text(path)} is not a repository", hint=_HINT)
    return _page("gh", found[1], found[2] or "")


def _gitlab(path: str, _query: str) -> RepositoryLink:
    repo, _, page = path.partition("/-/")
    return _page("gl", repo.removesuffix(".git"), page)


def _gist(path: str, _query: str) -> RepositoryLink:
    user, _, rest = path.partition("/")
    gist, _, revision = rest.removesuffix(".git").partition("/")
    return RepositoryLink("gist", f"{user}/{gist}", revision or None)


def _zenodo(path: str, _query: str) -> RepositoryLink | None:
    found = re.match(r"(?:records?|doi)/(?:10\.5281/zenodo\.)?(\d+)", path)
    return RepositoryLink("zenodo", f"10.5281/zenodo.{found[1]}") if found else None


def _figshare(path: str, _query: str) -> RepositoryLink | None:
    found = re.match(r"articles/(?:[^/]+/)*?(\d+)(?:/(\d+))?$", path)
    return (
        RepositoryLink("figshare", f"10.6084/m9.figshare.{found[1]}" + (f".v{found[2]}" if found[2] else ""))
        if found
        else None
    )


def _hydroshare(path: str, _query: str) -> RepositoryLink | None:
    found = re.match(r"resource/([0-9a-f]{32})", path)
    return RepositoryLink("hydroshare", found[1]) if found else None


def _dataverse(_path: str, query: str) -> RepositoryLink | None:
    doi = parse_qs(query).get("persistentId", [""])[0].removeprefix("doi:")
    return RepositoryLink("dataverse", doi) if doi else None


_SITES = {
    "github.com": _github,
    "gitlab.com": _gitlab,
    "gist.github.com": _gist,
    "zenodo.org": _zenodo,
    "figshare.com": _figshare,
    "hydroshare.org": _hydroshare,
    "dataverse.harvard.edu": _dataverse,
}


def _git_page(origin: str, path: str) -> RepositoryLink:
    """Read a page on a site of no known kind: a self-hosted GitLab marks its pages with `/-/`, the rest is for git."""
    repo, marker, page = path.partition("/-/")
    if not repo:
        raise UsageError(f"{show_text(origin)}/{show_text(path)} is not a repository", hint=_HINT)
    return _page("git", f"{origin}/{repo}", unquote(page)) if marker else RepositoryLink("git", f"{origin}/{path}")
