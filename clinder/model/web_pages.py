"""Web pages of repositories: their addresses, what they show, and how forges such as GitHub and GitLab name them.

Which provider reads the pages of which host is in `clinder.model.providers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote

from clinder.model.display import show_text
from clinder.model.errors import UsageError


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a web page, in parts.

    Attributes:
        origin: scheme, host and port, as given.
        host: in lower case, without `www.` and port.
        raw_path: the path as given, without slashes at its ends.
        query: without the question mark.
    """

    origin: str
    host: str
    raw_path: str
    query: str

    @property
    def path(self) -> str:
        """The path, percent-decoded, without slashes at its ends."""
        return unquote(self.raw_path).strip("/")

    def __str__(self) -> str:
        return f"{self.origin}/{self.raw_path}"


@dataclass(frozen=True, slots=True)
class Page:
    """What a web page shows.

    Attributes:
        repo: the repository, in the provider's own form.
        ref: branch, tag or commit; `None` where the page names none.
        path: what to open in the session, relative to its URL; `None` where the page shows no file.
    """

    repo: str
    ref: str | None = None
    path: str | None = None


PageReader: TypeAlias = Callable[[Address], Page | None]
"""Gets the page at an address; `None` where it shows no repository.

Raises UsageError where it belongs to the provider and cannot be used.
"""

ANY_HOST = "*"
"""Stands for every host in `Provider.pages`; such a reader is tried after those for the host itself."""


def forge_page(address: Address, repo: str, page: str) -> Page:
    """Read what follows a repository in its web address: `tree/REF`, `blob/REF/FILE`, `commit/SHA`, …

    Args:
        address: of the page.
        repo: the repository, in the provider's own form.
        page: what follows it in the path, without slashes at its ends.

    Raises:
        UsageError: the page names no branch, tag or commit.
    """
    kind, _, rest = page.partition("/")
    if not page or page == "releases":
        return Page(repo)
    if kind in ("tree", "commit", "commits", "tags") and rest:
        return Page(repo, rest)
    if kind == "releases" and rest.startswith("tag/"):
        return Page(repo, rest.removeprefix("tag/"))
    if kind == "blob" and "/" in rest:
        ref, _, file = rest.partition("/")
        return Page(repo, ref, f"lab/tree/{file}")
    raise UsageError(
        f"the page {show_text(str(address))} names no branch, tag or commit",
        hint="Give the repository's own page, or that of a branch (/tree/…), tag or commit.",
    )
