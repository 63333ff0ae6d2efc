"""How messages are put together, and how the operating system's errors are named."""

from __future__ import annotations

import errno
import os

import pytest

from clinder.hubs.failures import failure
from clinder.model.errors import BuildError
from clinder.model.events import Event, Phase
from clinder.model.wording import LACKING, because, bounded, is_blank, listed, os_hint, os_reason, short_name

SAYS_NOTHING_OF_THE_FILE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EIO, errno.EAGAIN)


@pytest.mark.parametrize("reason", ["", " ", "\n", "\x1b[0m\n", "\x1b[31m\x1b[0m", "\x00\r\n", "\u200b\u202e"])
def test_a_message_without_a_reason_ends_without_a_colon(reason: str) -> None:
    assert because("the build failed", reason) == "the build failed"
    said = failure(Event(Phase.FAILED, reason), hub="https://hub.example.org", is_built=False)
    assert isinstance(said, BuildError)
    assert said.message.endswith("the hub gives no reason")


@pytest.mark.parametrize("reason", ["x", "\x1b[31mno\x1b[0m", "[0m", " 0"])
def test_a_reason_stands_after_a_colon(reason: str) -> None:
    assert not is_blank(reason)
    assert because("the build failed", reason) == f"the build failed: {reason}"


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    shown = bounded("a" * 5000 + "b" * 5000, 100)
    assert len(shown) < 150
    assert shown.startswith("a" * 75)
    assert shown.endswith("b" * 25)
    assert "9900 characters" in shown
    assert bounded("a" * 100, 100) == "a" * 100


def test_a_failure_of_a_mebibyte_is_shortened_to_what_somebody_reads() -> None:
    said = failure(Event(Phase.FAILED, "x" * 1024 * 1024), hub="https://hub.example.org", is_built=False)
    assert len(said.message) < 3000


def test_many_names_are_counted() -> None:
    assert listed([]) == ""
    assert listed(["a", "b"]) == "a, b"
    assert listed(map(str, range(30))) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 20 more"
    assert len(listed(["x" * 100_000] * 30)) < 2000
    assert short_name(["x"]) == "['x']"


@pytest.mark.parametrize("number", SAYS_NOTHING_OF_THE_FILE, ids=errno.errorcode.get)
def test_an_error_that_says_nothing_of_the_file_has_advice_of_its_own(number: int) -> None:
    error = OSError(number, os.strerror(number), "/x/state.json")
    assert os_reason(error)
    assert os_hint(error)
    assert not {"move", "writable", "--state-dir"} & set(os_hint(error).lower().split())


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "No such file"), OSError("odd"), ValueError("odd")])
def test_other_errors_leave_the_advice_to_others(error: Exception) -> None:
    assert os_hint(error) == ""


def test_an_error_without_a_number_or_words_is_named_all_the_same() -> None:
    assert os_reason(OSError("it is a pipe")) == "it is a pipe"
    assert os_reason(PermissionError()) == "PermissionError"
    assert os_reason(OSError(errno.ENOENT, "No such file or directory")) == "No such file or directory"


def test_open_files_that_ran_out_are_named() -> None:
    assert os_reason(OSError(errno.EMFILE, "x")) == "this process has too many files open"
    assert os_reason(OSError(errno.ENFILE, "x")) == "too many files are open on this machine"
    assert "ulimit -n" in os_hint(OSError(errno.EMFILE, "x"))
    assert {errno.EMFILE, errno.ENFILE} <= LACKING
