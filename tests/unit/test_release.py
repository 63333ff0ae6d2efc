"""A release: its tag, its notes, the major tag of the action, and that nothing is published unless the tests pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import clinder

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".ci" / "release.py"
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
LIMIT_S = 60
CHANGELOG = """# Changelog

## [Unreleased]

### Added

- What is to come.

## [1.2.0] - 2026-11-20

### Added

- A thing, and
  another.

### Fixed

- `a` [fault](https://example.org).

## [1.1.0] - 2026-10-01

- The first.

[1.2.0]: https://example.org/compare/v1.1.0...v1.2.0
"""

pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="an unpacked source package has no CI files")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of version 1.2.0."""
    folder = tmp_path / "checkout"
    (folder / "clinder").mkdir(parents=True)
    (folder / "docs").mkdir()
    (folder / "clinder" / "__init__.py").write_text('"""clinder."""\n\n__version__ = "1.2.0"\n')
    (folder / "CHANGELOG.md").write_text(CHANGELOG)
    (folder / "README.md").write_text("- uses: clinder-dev/clinder@v1\n")
    return folder


def release(checkout: Path, *arguments: str, expect: int = 0) -> str:
    """Run the script, and return its stdout on success, otherwise its stderr."""
    command = [sys.executable, str(SCRIPT), *arguments, "--root", str(checkout)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == expect, done
    return done.stderr if expect else done.stdout


# The tag


def test_a_tag_with_the_version_of_the_package_passes(checkout: Path) -> None:
    release(checkout, "check", "v1.2.0")


def test_a_tag_with_another_version_fails(checkout: Path) -> None:
    assert "the tag is v1.1.0, but clinder/__init__.py has 1.2.0" in release(checkout, "check", "v1.1.0", expect=1)


@pytest.mark.parametrize("tag", ["1.2.0", "v1.2", "v1", "v1.2.0-beta", "main", "v1.2.0\n"])
def test_a_tag_that_is_not_a_version_fails(checkout: Path, tag: str) -> None:
    assert "is not a release's tag" in release(checkout, "check", tag, expect=1)


def test_a_page_with_another_major_tag_of_the_action_fails(checkout: Path) -> None:
    (checkout / "docs" / "page.md").write_text("uses: clinder-dev/clinder@v2\n")
    said = release(checkout, "check", "v1.2.0", expect=1)
    assert said == "docs/page.md uses the action at v2, but v1.2.0 would be v1\n"


def test_the_version_is_read_from_the_package(tmp_path: Path) -> None:
    said = release(ROOT, "check", "v0.0.1", expect=1) if (ROOT / "clinder").exists() else clinder.__version__
    assert clinder.__version__ in said


# The notes


def test_the_notes_only_contain_the_section_of_the_version(checkout: Path) -> None:
    assert release(checkout, "notes", "v1.2.0") == (
        "### Added\n\n- A thing, and\n  another.\n\n### Fixed\n\n- `a` [fault](https://example.org).\n"
    )


def test_the_notes_of_the_oldest_version_end_before_the_links(checkout: Path) -> None:
    assert release(checkout, "notes", "v1.1.0") == "- The first.\n"


@pytest.mark.parametrize(
    ("heading", "said"),
    [
        ("## [1.2.1] - 2026-11-20", "has no section for 1.2.0"),
        ("## [1.2.0]", "has no date for 1.2.0"),
        ("## [1.2.0] - 2026-11-20\n\n## [1.1.9] - 2026-11-01", "has an empty section for 1.2.0"),
    ],
)
def test_a_version_without_a_section_is_not_released(checkout: Path, heading: str, said: str) -> None:
    (checkout / "CHANGELOG.md").write_text(CHANGELOG.replace("## [1.2.0] - 2026-11-20", heading))
    assert said in release(checkout, "notes", "v1.2.0", expect=1)
    assert said in release(checkout, "check", "v1.2.0", expect=1)


# The action's major tag


def git(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def remote(checkout: Path, tmp_path: Path) -> Path:
    """A bare repository to which the checkout was pushed."""
    folder = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", str(folder))
    git(checkout, "init", "--quiet")
    git(checkout, "remote", "add", "origin", str(folder))
    return folder


def tag(checkout: Path, name: str, *options: str) -> str:
    """Commit, tag and push, and return the commit."""
    git(checkout, "commit", "--quiet", "--allow-empty", "--message", name)
    git(checkout, "tag", *options, name)
    git(checkout, "push", "--quiet", "origin", "HEAD:main", name)
    return git(checkout, "rev-parse", "HEAD")


def major(remote: Path, name: str = "v1") -> str:
    return git(remote, "for-each-ref", "--format=%(objectname)", f"refs/tags/{name}")


@pytest.mark.parametrize("options", [(), ("--annotate", "--message=Release")], ids=["light", "annotated"])
def test_the_major_tag_is_created_and_then_moved_to_each_release(
    checkout: Path, remote: Path, options: tuple[str, ...]
) -> None:
    first = tag(checkout, "v1.2.0", *options)
    assert "v1 is now" in release(checkout, "move-tag", "v1.2.0")
    assert major(remote) == first
    second = tag(checkout, "v1.10.0", *options)
    release(checkout, "move-tag", "v1.10.0")
    assert major(remote) == second
    assert first != second


def test_an_older_release_does_not_move_the_major_tag(checkout: Path, remote: Path) -> None:
    newest = tag(checkout, "v1.10.0")
    release(checkout, "move-tag", "v1.10.0")
    tag(checkout, "v1.9.1")
    assert "v1.10.0 is newer" in release(checkout, "move-tag", "v1.9.1")
    assert major(remote) == newest


def test_another_major_version_has_its_own_tag(checkout: Path, remote: Path) -> None:
    first = tag(checkout, "v1.2.0")
    release(checkout, "move-tag", "v1.2.0")
    second = tag(checkout, "v2.0.0")
    release(checkout, "move-tag", "v2.0.0")
    assert (major(remote), major(remote, "v2")) == (first, second)


def test_a_pre_release_moves_nothing(checkout: Path, remote: Path) -> None:
    tag(checkout, "v2.0.0rc1")
    assert "pre-release" in release(checkout, "move-tag", "v2.0.0rc1")
    assert major(remote, "v2") == ""


def test_a_tag_that_was_not_pushed_moves_nothing(checkout: Path, remote: Path) -> None:
    tag(checkout, "v1.2.0")
    git(checkout, "tag", "v1.3.0")
    assert "has no tag v1.3.0" in release(checkout, "move-tag", "v1.3.0", expect=1)
    assert major(remote) == ""


def test_a_remote_that_refuses_fails_the_release(checkout: Path, remote: Path) -> None:
    tag(checkout, "v1.2.0")
    hook = remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert "git push failed" in release(checkout, "move-tag", "v1.2.0", expect=1)


# The workflow


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
    return found


def needed(jobs: dict[str, Any], name: str) -> set[str]:
    """The jobs that must succeed before a job starts."""
    before = jobs[name].get("needs", [])
    before = {before} if isinstance(before, str) else set(before)
    return before.union(*(needed(jobs, other) for other in before))


def test_jobs_with_write_access_wait_for_every_test(jobs: dict[str, Any]) -> None:
    tests = {"check", "tests", "action", "wheel"}
    writing = {name for name, job in jobs.items() if "write" in (job.get("permissions") or {}).values()}
    assert writing == {"publish", "release", "major-tag"}
    for name in writing:
        assert tests <= needed(jobs, name)
        assert "if" not in jobs[name], "a condition could start the job although a test failed"


def test_a_release_runs_the_same_tests_as_every_change(jobs: dict[str, Any]) -> None:
    for name in ("tests", "action"):
        called = ROOT / jobs[name]["uses"]
        assert "workflow_call" in yaml.safe_load(called.read_text(encoding="utf-8"))[True]  # `on`, as YAML 1.1 reads it


def test_a_called_workflow_and_its_caller_do_not_wait_for_each_other() -> None:
    groups = []
    for name in ("tests", "action", "release"):
        document = yaml.safe_load((WORKFLOW.parent / f"{name}.yml").read_text(encoding="utf-8"))
        groups.append(document["concurrency"]["group"])
        assert "github.workflow" not in groups[-1], "in a called workflow, this is the name of the caller"
    assert len(set(groups)) == len(groups)


def test_it_publishes_the_tested_package_with_attestations(jobs: dict[str, Any]) -> None:
    publish = jobs["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    (step,) = [step for step in publish["steps"] if "gh-action-pypi-publish" in step["uses"]]
    assert re.fullmatch(r"pypa/gh-action-pypi-publish@[0-9a-f]{40}", step["uses"])
    assert step["with"]["attestations"] is True
    assert "password" not in step["with"]
    built = [step["with"]["name"] for step in jobs["build"]["steps"] if "upload-artifact" in step.get("uses", "")]
    for name in ("wheel", "publish", "release"):
        taken = [step["with"]["name"] for step in jobs[name]["steps"] if "download-artifact" in step.get("uses", "")]
        assert taken == built
