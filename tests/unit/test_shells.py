"""Variables for shells and tools: no value is executed."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from clinder.model.errors import UsageError
from clinder.output.shells import Shell, how_to, set_variables, unset_variables

NASTY = [
    "plain",
    "",
    "two words",
    "it's",
    'say "hi"',
    "$HOME ${HOME} $(echo no) `echo no`",
    "back\\slash \\n \\\\ \\' \\\"",
    "# no comment; echo no && echo no | cat > /dev/null",
    "*?[a-z]{a,b}~ !! %PATH% ^",
    "typographic \u2018quotes\u2019 \u201a and \u201b",
    "ünïcödé ✓ \U0001f980",
    "=a=b",
    "\ttab",
    "'\\''; echo no; '",
]
ONE_LINE = [shell for shell in Shell if shell is not Shell.JSON]


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("program", ["sh", "bash"])
@pytest.mark.skipif(os.name == "nt", reason="sh is a POSIX shell")
def test_a_posix_shell_reads_back_any_value(program: str, value: str) -> None:
    script = set_variables({"A": value}, Shell.SH) + "\nprintf %s \"$A\"; env | grep -c '^A='"
    done = subprocess.run([program, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{value}1\n", "and it is exported"
    assert done.stderr == ""


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.skipif(os.name == "nt", reason="sh is a POSIX shell")
def test_a_dotenv_file_is_read_back_by_a_shell_too(value: str) -> None:
    script = set_variables({"A": value}, Shell.DOTENV) + '\nprintf %s "$A"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == value


@pytest.mark.parametrize("value", [*NASTY, "two\nlines"])
def test_json_represents_any_value(value: str) -> None:
    assert json.loads(set_variables({"A": value, "B": "b"}, Shell.JSON)) == {"A": value, "B": "b"}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "$Env:A = 'plain'"),
        ("it's", "$Env:A = 'it''s'"),
        ("\u2018a\u2019\u201a\u201b", "$Env:A = '\u2018\u2018a\u2019\u2019\u201a\u201a\u201b\u201b'"),
        ("$(1) `n $Env:X", "$Env:A = '$(1) `n $Env:X'"),
    ],
)
def test_powershell_values_double_every_kind_of_single_quote(value: str, written: str) -> None:
    assert set_variables({"A": value}, Shell.POWERSHELL) == written


@pytest.mark.parametrize(
    ("value", "written"), [("it's", "set -gx A 'it\\'s'"), ("a\\b", "set -gx A 'a\\\\b'"), ("$(x)", "set -gx A '$(x)'")]
)
def test_fish_escapes_two_characters(value: str, written: str) -> None:
    assert set_variables({"A": value}, Shell.FISH) == written


def test_a_github_environment_file_has_a_bare_line_for_each() -> None:
    assert set_variables({"A": "a b", "B": "c=d"}, Shell.GITHUB) == "A=a b\nB=c=d"


@pytest.mark.parametrize("break_", ["\n", "\r", "\0", "\r\n"])
@pytest.mark.parametrize("shell", ONE_LINE)
def test_a_line_break_that_would_start_another_variable_is_refused(shell: Shell, break_: str) -> None:
    with pytest.raises(UsageError, match=f"A contains a line break, which the format {shell.value} cannot express"):
        set_variables({"A": f"a{break_}B=b"}, shell)


def test_unsetting_in_each_shell() -> None:
    written = {shell: unset_variables(["A", "B"], shell) for shell in Shell}
    assert written[Shell.SH] == "unset A\nunset B"
    assert written[Shell.FISH] == "set -e A\nset -e B"
    assert written[Shell.POWERSHELL].splitlines()[0] == "Remove-Item Env:A -ErrorAction SilentlyContinue"
    assert written[Shell.DOTENV] == written[Shell.GITHUB] == "A=\nB="
    assert json.loads(written[Shell.JSON]) == {"A": None, "B": None}


def test_every_format_but_json_has_a_usage_hint() -> None:
    uses = {shell: how_to(shell, "clinder env") for shell in Shell}
    assert uses.pop(Shell.JSON) == ""
    assert all("clinder env" in use for use in uses.values())
