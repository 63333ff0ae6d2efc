"""A log that grows too long keeps its beginning and its end, and says how much is left out between them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from clinder.output.bounded import BoundedFile

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

HEAD, TAIL = 1000, 500
MARK = re.compile(rb"\[(\d+) left out\]\n")


def open_bounded(path: Path, head: int = HEAD, tail: int = TAIL) -> BoundedFile:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    return BoundedFile(descriptor, mark=lambda count: f"[{count} left out]\n", head_bytes=head, tail_bytes=tail)


def written(path: Path, *texts: str) -> bytes:
    file = open_bounded(path)
    for text in texts:
        file.write(text)
    file.close()
    return path.read_bytes()


def test_a_short_log_is_kept_whole(tmp_path: Path) -> None:
    lines = [f"line {number}\n" for number in range(100)]
    assert written(tmp_path / "log", *lines) == "".join(lines).encode()


def test_a_long_log_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    lines = [f"line {number}\n" for number in range(10_000)]
    kept = written(tmp_path / "log", *lines)
    whole = "".join(lines).encode()
    assert len(kept) < HEAD + 2 * TAIL + 100
    (found,) = MARK.finditer(kept)
    beginning, end = kept[: found.start()], kept[found.end() :]
    assert whole.startswith(beginning)
    assert whole.endswith(end)
    assert HEAD - 20 < len(beginning) <= HEAD
    assert len(end) > TAIL - 20
    assert end.startswith(b"line "), "whole lines alone"
    assert int(found[1]) == len(whole) - len(beginning) - len(end)


def test_the_end_is_on_the_disk_before_the_log_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = open_bounded(path)
    for number in range(5000):
        file.write(f"line {number}\n")
        if number % 7 == 0:
            file.flush()
            assert path.read_bytes().endswith(f"line {number}\n".encode())
            assert path.stat().st_size < HEAD + 2 * TAIL + 100
    file.close()


def test_one_line_longer_than_all_that_is_kept_is_cut(tmp_path: Path) -> None:
    kept = written(tmp_path / "log", "first\n", "x" * 5_000_000 + "\n", "last\n")
    assert len(kept) < 3 * 1024 * 1024
    assert kept.startswith(b"first\n")
    assert kept.endswith(b"last\n")


def test_halves_of_characters_do_no_harm(tmp_path: Path) -> None:
    kept = written(tmp_path / "log", *["\ud800ö€\n"] * 1000)
    assert kept.decode("utf-8").count("?ö€\n") > 100


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(0, 400), max_size=60))
def test_whatever_is_written_the_file_is_bounded_and_accounts_for_it(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int]
) -> None:
    texts = [f"{number}:{'x' * length}\n" for number, length in enumerate(lengths)]
    kept = written(tmp_path_factory.mktemp("bounded") / "log", *texts)
    whole = "".join(texts).encode()
    found = MARK.search(kept)
    assert len(kept) <= HEAD + 2 * TAIL + 500
    if found is None:
        assert kept == whole
    else:
        beginning, end = kept[: found.start()], kept[found.end() :]
        assert whole.startswith(beginning)
        assert whole.endswith(end)
        assert int(found[1]) == len(whole) - len(beginning) - len(end)
