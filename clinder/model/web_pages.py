"""URLs of web pages that show a repository, as on GitHub or GitLab.

`clinder.model.providers` maps hosts to the readers of their pages.
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
    """The parsed URL of a web page.

    Attributes:
        origin: scheme, host and port, as given.
        host: the host in lower case, without `www.` and port.
        raw_path: the path as given, without leading and trailing slashes.
        query: the query, without the question mark.
    """

    origin: str
    host: str
    raw_path: str
    query: str

    @property
    def path(self) -> str:
        """The percent-decoded path, without leading and trailing slashes."""
        return unquote(self.raw_path).strip("/")

    def __str__(self) -> str:
        return f"{self.origin}/{self.raw_path}"


@dataclass(frozen=True, slots=True)
class Page:
    """The content of a web page.

    Attributes:
        repo: the repository, in the provider's format.
        ref: branch, tag or commit; `None` if the URL has none.
        path: the path to open in the session, relative to its URL; `None` if the page is not that of a file.
    """

    repo: str
    ref: str | None = None
    path: str | None = None


PageReader: TypeAlias = Callable[[Address], Page | None]
"""A function that parses the URL of a web page; returns `None` if the page is not that of a repository.

It raises UsageError if the page belongs to the provider but cannot be used.
"""

ANY_HOST = "*"
"""The key in `Provider.pages` for any host; such a reader is tried after the reader for the host itself."""


def forge_page(address: Address, repo: str, page: str) -> Page:
    """Parse the part of a page's URL that follows the repository: `tree/REF`, `blob/REF/FILE`, `commit/SHA`, …

    Args:
        address: the URL of the page.
        repo: the repository, in the provider's format.
        page: the path after the repository, without leading and trailing slashes.

    Raises:
        UsageError: the URL names no branch, tag or commit.
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
        hint="Use the URL of the repository, or of a branch (/tree/…), tag or commit.",
    )
