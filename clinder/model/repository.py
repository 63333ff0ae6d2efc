"""Repository specs (provider, repository, ref), and parsing of the forms in which users give a repository.

`clinder.model.providers` has the details of each provider.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from clinder.model.display import show_text, show_value
from clinder.model.errors import UsageError
from clinder.model.paths import absolute
from clinder.model.providers import (
    DOI_RESOLVER,
    FALLBACK,
    LOCAL,
    PROVIDERS,
    SHORTHAND,
    Provider,
    find_provider,
    repository_hint,
)
from clinder.model.web_pages import ANY_HOST, Address

DEFAULT_REF = "HEAD"

_FORBIDDEN_IN_REF = re.compile(r"[\x00-\x20\x7f\ud800-\udfff~^:?*\[\\]|\.\.|^[-/]|/$|@\{")
_DOTS = re.compile(r"(^|/)\.{1,2}(/|$)")
"""Segments that are removed when a URL is normalized, so that it would lead to another path on the hub."""
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and surrogates that stand for bytes of a non-UTF-8 path: neither can be part of a URL."""
_LONGEST_TEXT = 8192


@dataclass(frozen=True, slots=True)
class RepositorySpec:
    """A provider, a repository and a ref, from which a hub builds an image.

    Attributes:
        provider: the id of one of `PROVIDERS`, or `LOCAL`.
        repo: the repository in the provider's format, not encoded: `org/name`, a DOI, a URL, an absolute path.
        ref: branch, tag or commit; empty for providers without refs.
    """

    provider: str
    repo: str
    ref: str = ""

    def __post_init__(self) -> None:
        provider = find_provider(self.provider)
        has_dots = _DOTS.search(self.repo)
        if has_dots or _UNUSABLE.search(self.repo) or not re.fullmatch(provider.pattern, self.repo):
            raise UsageError(
                f"{show_value(self.repo)} is not a repository of provider {self.provider}: expected {provider.example}"
                + (", without . or .. segments" if has_dots else "")
            )
        if provider.takes_ref:
            object.__setattr__(self, "ref", self.ref or DEFAULT_REF)
            if _FORBIDDEN_IN_REF.search(self.ref) or _DOTS.search(self.ref):
                raise UsageError(
                    f"{show_value(self.ref)} cannot be a branch, tag or commit", hint="See `git help check-ref-format`."
                )
        elif self.ref not in ("", DEFAULT_REF):
            raise UsageError(
                f"provider {self.provider} takes no ref, but ref is {show_value(self.ref)}",
                hint="A DOI or dataset includes its version: omit ref.",
            )
        else:
            object.__setattr__(self, "ref", "")

    @property
    def build_path(self) -> str:
        """The spec as the path after `/build/`, percent-encoded as the provider requires."""
        repo = quote(self.repo, safe="" if find_provider(self.provider).one_segment else "/")
        ref = f"/{quote(self.ref, safe='/')}" if self.ref else ""
        return f"{self.provider}/{repo}{ref}"

    @classmethod
    def from_build_path(cls, path: str) -> RepositorySpec:
        """Parse the path after `/build/` or `/v2/`, percent-encoded as in the URL.

        Raises:
            UsageError: the path is not a spec of a known provider.
        """
        name, _, rest = path.strip("/").partition("/")
        segments = rest.split("/")
        if name not in PROVIDERS:
            raise UsageError(f"unknown repository provider {show_value(name)}", hint=repository_hint())
        provider = PROVIDERS[name]
        if not provider.takes_ref:
            return cls(name, provider.normalize(unquote(rest)))
        width = 1 if provider.one_segment else 2
        return cls(name, unquote("/".join(segments[:width])), unquote("/".join(segments[width:])))

    @property
    def web_url(self) -> str | None:
        """The repository's web page, or the path of a folder; `None` if the provider has no web pages."""
        return self._filled(find_provider(self.provider).web_url)

    @property
    def clone_url(self) -> str | None:
        """The URL or path to clone from; `None` if git cannot clone the repository."""
        return self._filled(find_provider(self.provider).clone_url)

    def commit_url(self, commit: str) -> str | None:
        """Get the URL of a commit's web page; `None` if the provider has no such pages."""
        return self._filled(find_provider(self.provider).commit_url, commit)

    def _filled(self, template: str | None, commit: str = "") -> str | None:
        name = self.repo.rpartition("/")[2]
        return template and template.format(repo=self.repo, name=name, commit=commit)

    def __str__(self) -> str:
        if self.provider == LOCAL:
            return self.repo if self.ref == DEFAULT_REF else f"{self.repo} at {self.ref}"
        return "/".join(part for part in (self.provider, self.repo, self.ref) if part)


@dataclass(frozen=True, slots=True)
class RepositoryLink:
    """A parsed repository link: a repository and, optionally, a ref, a hub and a path to open in the session."""

    provider: str
    repo: str
    ref: str | None = None
    hub: str | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        self.spec()

    def spec(self, ref: str | None = None) -> RepositorySpec:
        """Get the repository spec; `ref` takes precedence over the ref of the link.

        Raises:
            UsageError: the ref is invalid for this repository.
        """
        return RepositorySpec(self.provider, self.repo, ref or self.ref or "")

    @property
    def text(self) -> str:
        """The repository in the form used in `clinder.toml`, with the provider if it is needed."""
        is_plain = self.provider in (SHORTHAND.id, FALLBACK.id)
        return self.repo if is_plain else f"{self.provider}:{self.repo}"


def read_repository(text: str, *, base: Path | None = None) -> RepositoryLink:
    """Parse a repository in any of the supported forms.

    Args:
        text: `org/name`, `PROVIDER:REPOSITORY`, `PROVIDER/REPOSITORY/REF`, a DOI, a git URL (https or ssh), the web
            page of a repository, branch or commit, a Binder launch link, or a folder.
        base: the base of a relative path; defaults to the current folder.

    Raises:
        UsageError: the text has none of these forms.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST_TEXT or _UNUSABLE.search(text):
        raise UsageError(f"{show_value(text)} is not a repository", hint=repository_hint())
    prefix, colon, rest = text.partition(":")
    if colon and prefix in PROVIDERS and not re.fullmatch(FALLBACK.pattern, text):  # not a URL scheme
        return _prefixed(PROVIDERS[prefix], rest)
    if (
        text.startswith(("./", "../", "/", "~", ".\\", "..\\"))
        or text in (".", "..")
        or re.match(r"[A-Za-z]:[\\/]", text)
    ):
        return RepositoryLink(LOCAL, _folder(text, base))
    if doi := re.fullmatch(rf"{DOI_RESOLVER}?(10\.\d+/\S+)", text, re.IGNORECASE):
        return _doi(doi[1])
    if re.match(r"(https?|git|ssh|file)://", text) or re.match(r"[\w.-]+@[\w.-]+:", text):
        return _url(text)
    if text.partition("/")[0] in PROVIDERS and text.count("/") > 1:
        spec = RepositorySpec.from_build_path(text)
        return RepositoryLink(spec.provider, spec.repo, spec.ref or None)
    if re.fullmatch(SHORTHAND.pattern, text):
        return RepositoryLink(SHORTHAND.id, SHORTHAND.normalize(text))
    raise UsageError(f"{show_value(text)} is not a repository", hint=repository_hint())


def _folder(text: str, base: Path | None) -> str:
    """Make a path absolute and resolve its links, without checking that the folder exists."""
    try:
        folder = Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"{show_value(text)} cannot be resolved: there is no such home folder") from None
    return os.path.realpath(base / folder if base else absolute(folder))


def _prefixed(provider: Provider, rest: str) -> RepositoryLink:
    # A web page of the provider may also name a ref. If repositories of the provider are URLs, it is not a web page.
    if provider.takes_ref and re.match(r"https?://", rest) and not re.fullmatch(provider.pattern, rest):
        link = _url(rest)
        if link.provider == provider.id:
            return link
    return RepositoryLink(provider.id, provider.normalize(rest))


def _doi(doi: str) -> RepositoryLink:
    with_dois = [provider for provider in PROVIDERS.values() if provider.dois]
    for provider in with_dois:
        if any(re.match(pattern, doi, re.IGNORECASE) for pattern in provider.dois):
            return RepositoryLink(provider.id, doi)
    *most, last = (f"{provider.id}:{doi}" for provider in with_dois)
    raise UsageError(
        f"cannot determine the archive of the DOI {show_text(doi)}",
        hint=f"Use {show_text(', '.join(most))} or {show_text(last)}.",
    )


def _url(text: str) -> RepositoryLink:
    """Parse a URL: as a Binder link, else as a web page of a known site, else as a URL to clone."""
    if link := _ssh(text):
        return link
    if not text.startswith(("http://", "https://")):
        return RepositoryLink(FALLBACK.id, text)
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError as error:
        raise UsageError(f"{show_value(text)} is not a URL: {show_text(str(error))}") from error
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "a repository URL must not contain a user name or password",
            hint="Hubs clone without credentials: remove the part before @.",
        )
    if binder := re.search(rf"/v2/(?=({'|'.join(map(re.escape, PROVIDERS))})/.)", parts.path):
        return _binder_link(parts, binder.start())
    return _web_page(Address(f"{parts.scheme}://{parts.netloc}", host, parts.path.strip("/"), parts.query))


def _ssh(text: str) -> RepositoryLink | None:
    """Parse an ssh URL of a provider whose repositories hubs clone over https."""
    found = re.fullmatch(r"(?:ssh://)?(?:[\w.-]+@)?([\w.-]+)[:/](.+?)(?:\.git)?/?", text)
    if not found:
        return None
    provider = next((each for each in PROVIDERS.values() if found[1] in each.ssh_hosts), None)
    return RepositoryLink(provider.id, found[2]) if provider else None


def _binder_link(parts: SplitResult, start: int) -> RepositoryLink:
    spec = RepositorySpec.from_build_path(parts.path[start + len("/v2/") :])
    given = parse_qs(parts.query)
    opened = None
    if "urlpath" in given:
        opened = given["urlpath"][0].lstrip("/")
    elif found := given.get("labpath") or given.get("filepath"):
        opened = f"lab/tree/{found[0].lstrip('/')}"
    hub = f"{parts.scheme}://{parts.netloc}{parts.path[:start]}"
    return RepositoryLink(spec.provider, spec.repo, spec.ref or None, hub=hub, path=opened)


def _web_page(address: Address) -> RepositoryLink:
    """Parse a web page with the reader for its host, or one for any host; otherwise, take it as a URL to clone."""
    for host in (address.host, ANY_HOST):
        for provider in PROVIDERS.values():
            reader = provider.pages.get(host)
            if reader and (page := reader(address)):
                return RepositoryLink(provider.id, page.repo, page.ref, path=page.path)
    if not address.raw_path:
        raise UsageError(f"{show_text(str(address))} is not a repository", hint=repository_hint())
    return RepositoryLink(FALLBACK.id, f"{address.origin}/{address.raw_path}")
