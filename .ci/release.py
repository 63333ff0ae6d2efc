"""Checks a release's tag, prints its notes, and moves the major tag of the action.

python .ci/release.py check v1.2.3         fail unless tag, package, changelog and documentation agree
python .ci/release.py notes v1.2.3         print the version's section of CHANGELOG.md
python .ci/release.py move-tag v1.2.3      move v1 of the remote `origin` (or another: --remote) to the same commit

The version is only defined in `clinder/__init__.py`. The package reads it from there, and the tag must be equal.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_TAG = re.compile(r"v(?P<version>(?P<major>\d+)\.\d+\.\d+(?P<pre>(?:a|b|rc)\d+)?)")
_SECTION = re.compile(r"^## \[(?P<version>[^\]]+)\](?: - (?P<date>\d{4}-\d\d-\d\d))?[ \t]*$", re.MULTILINE)


def read_tag(tag: str) -> re.Match[str]:
    """Parse `v1.2.3`, or a pre-release such as `v1.2.3rc1`."""
    read = _TAG.fullmatch(tag)
    if not read:
        sys.exit(f"{tag!r} is not a release's tag: expected v1.2.3 or v1.2.3rc1")
    return read


def package_version(root: Path) -> str:
    """Read the version from the package."""
    text = (root / "clinder" / "__init__.py").read_text(encoding="utf-8")
    return re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)[0]


def notes(root: Path, version: str) -> str:
    """Extract the section of a version from the changelog, without its heading."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = list(_SECTION.finditer(text))
    for number, heading in enumerate(headings):
        if heading["version"] != version:
            continue
        if not heading["date"]:
            sys.exit(f"CHANGELOG.md has no date for {version}: expected ## [{version}] - YYYY-MM-DD")
        end = headings[number + 1].start() if number + 1 < len(headings) else len(text)
        section = re.sub(r"^\[[^\]]+\]: .*\n?", "", text[heading.end() : end], flags=re.MULTILINE).strip()
        if not section:
            sys.exit(f"CHANGELOG.md has an empty section for {version}")
        return section + "\n"
    sys.exit(f"CHANGELOG.md has no section for {version}: expected ## [{version}] - YYYY-MM-DD")


def check(root: Path, tag: str) -> None:
    """Fail unless the tag, the package, the changelog and the action's tag in the documentation agree."""
    read = read_tag(tag)
    if package_version(root) != read["version"]:
        sys.exit(f"the tag is {tag}, but clinder/__init__.py has {package_version(root)}")
    notes(root, read["version"])
    for page in [root / "README.md", *sorted((root / "docs").rglob("*.md")), *sorted((root / "docs").rglob("*.yml"))]:
        for named in re.findall(r"clinder-dev/clinder@(v\d+)\b", page.read_text(encoding="utf-8")):
            if named != f"v{read['major']}":
                place = page.relative_to(root).as_posix()
                sys.exit(f"{place} uses the action at {named}, but {tag} would be v{read['major']}")


def move_tag(root: Path, tag: str, remote: str) -> None:
    """Move the major tag of the remote to the commit of the release, unless a newer release of that major exists."""
    read = read_tag(tag)
    major = f"v{read['major']}"
    if read["pre"]:
        print(f"{tag} is a pre-release: {major} stays")  # noqa: T201  # a script
        return
    listed = _git(root, "ls-remote", "--tags", remote)
    there = [_TAG.fullmatch(name) for name in re.findall(r"refs/tags/(\S+?)(?:\^\{\})?$", listed, re.MULTILINE)]
    releases = [found["version"] for found in there if found and not found["pre"] and found["major"] == read["major"]]
    if read["version"] not in releases:
        sys.exit(f"{remote} has no tag {tag}")
    newest = max(releases, key=lambda version: [int(part) for part in version.split(".")])
    if newest != read["version"]:
        print(f"v{newest} is newer than {tag}: {major} stays")  # noqa: T201  # a script
        return
    commit = _git(root, "rev-parse", "--verify", f"refs/tags/{tag}^{{commit}}").strip()
    _git(root, "push", "--quiet", "--force", remote, f"{commit}:refs/tags/{major}")
    print(f"{major} is now {commit}, as {tag}")  # noqa: T201  # a script


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"git {arguments[0]} failed")
    return done.stdout


def main() -> None:
    """Parse the command line, and run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("check", "notes", "move-tag"))
    parser.add_argument("tag")
    parser.add_argument("--remote", default="origin")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout (default: the one with this file)")
    given = parser.parse_args()
    if given.what == "check":
        check(given.root, given.tag)
    elif given.what == "notes":
        sys.stdout.write(notes(given.root, read_tag(given.tag)["version"]))
    else:
        move_tag(given.root, given.tag, given.remote)


if __name__ == "__main__":
    main()
