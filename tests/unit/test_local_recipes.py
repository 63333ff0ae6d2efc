"""The environment that a repository declares, by repo2docker's rules, and when it must be rebuilt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clinder.localhub.environment import read_recipe

if TYPE_CHECKING:
    from pathlib import Path


def write(root: Path, *names: str, content: str = "") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)


def test_a_repository_without_environment_files_needs_none(tmp_path: Path) -> None:
    write(tmp_path, "README.md", "environment/requirements.txt")
    assert not read_recipe(tmp_path).is_needed


def test_environment_yml_wins_over_requirements_and_packages(tmp_path: Path) -> None:
    write(tmp_path, "environment.yml", "requirements.txt", "setup.py")
    recipe = read_recipe(tmp_path)
    assert recipe.conda == tmp_path / "environment.yml"
    assert recipe.requirements is None
    assert not recipe.project


def test_requirements_and_the_package_itself_are_both_installed(tmp_path: Path) -> None:
    write(tmp_path, "requirements.txt")
    write(tmp_path, "pyproject.toml", content="[project]\nname = 'x'\n")
    recipe = read_recipe(tmp_path)
    assert recipe.requirements == tmp_path / "requirements.txt"
    assert recipe.project


def test_a_pyproject_with_only_tool_settings_is_not_a_package(tmp_path: Path) -> None:
    write(tmp_path, "pyproject.toml", content="[tool.ruff]\nline-length = 100\n")
    assert not read_recipe(tmp_path).is_needed


@pytest.mark.parametrize("folder", ["binder", ".binder"])
def test_a_binder_folder_overrides_the_top_folder(tmp_path: Path, folder: str) -> None:
    write(tmp_path, "environment.yml", "setup.py", f"{folder}/requirements.txt", f"{folder}/postBuild")
    recipe = read_recipe(tmp_path)
    assert recipe.conda is None
    assert recipe.requirements == tmp_path / folder / "requirements.txt"
    assert not recipe.project
    assert recipe.warnings == (f"The embedded hub does not support {folder}/postBuild: it is ignored.",)


def test_two_binder_folders_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "binder/requirements.txt", ".binder/requirements.txt")
    assert "exactly one must exist" in read_recipe(tmp_path).fault


@pytest.mark.parametrize(
    ("line", "reads"),
    [
        ("numpy", False),
        ("xarray[io, viz]>=2024.1,<2026 ; python_version > '3.10'  # why", False),
        ("# -e .", False),
        ("-r more.txt", True),
        ("-e .", True),
        ("./package", True),
        ("package @ file:./package", True),
        ("package-1.0-py3-none-any.whl", True),
        ("wheels/package.whl", True),
        ("git+https://example.org/a/b", True),
        ("--find-links wheels", True),
    ],
)
def test_requirements_that_may_read_the_repository_are_detected(tmp_path: Path, line: str, reads: bool) -> None:
    write(tmp_path, "requirements.txt", content=f"six\n{line}\n")
    assert read_recipe(tmp_path).reads_repository is reads


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("dependencies:\n  - python=3.12\n  - conda-forge::xarray\n  - pip:\n    - six\n", False),
        ("dependencies:\n  - pip:\n    - -r requirements.txt\n", True),
        ("dependencies:\n  - pip:\n    - '-e .'\n", True),
        ("dependencies:\n  - pip:\n    - ./package\n", True),
    ],
)
def test_a_conda_environment_that_reads_the_repository_is_detected(tmp_path: Path, text: str, reads: bool) -> None:
    write(tmp_path, "environment.yml", content=text)
    assert read_recipe(tmp_path).reads_repository is reads
