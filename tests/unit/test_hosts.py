"""What leads to this machine, and what is said where others could read what goes over the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clinder.config.loading import load_config
from clinder.net.loopback import exposure, leads_to_loopback

if TYPE_CHECKING:
    from pathlib import Path

HERE = [
    "http://127.0.0.1:8000/user/x/",
    "http://127.8.9.10/",
    "http://localhost:1/",
    "http://LOCALHOST/",
    "http://[::1]:80/",
]
ELSEWHERE = [
    "http://mybinder.org",
    "http://127.0.0.1.example.org/",
    "http://localhost.example.org/",
    "http://0.0.0.0/",
    "http://10.0.0.1/",
    "http://[2001:db8::1]/",
    "HTTP://mybinder.org",
]


@pytest.mark.parametrize("url", HERE)
def test_the_loopback_is_this_machine(url: str) -> None:
    assert leads_to_loopback(url)
    assert exposure(url) == ""


@pytest.mark.parametrize("url", ELSEWHERE)
def test_what_only_looks_like_it_is_not(url: str) -> None:
    assert not leads_to_loopback(url)
    assert "is not encrypted" in exposure(url)


@pytest.mark.parametrize("url", ["https://mybinder.org", "https://10.0.0.1/user/x/", "local"])
def test_what_is_encrypted_or_no_address_is_no_danger(url: str) -> None:
    assert exposure(url) == ""


def test_an_address_that_cannot_be_read_leads_nowhere() -> None:
    assert not leads_to_loopback("http://[bad")


def test_each_hub_in_the_clear_is_warned_of_with_the_place_where_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "clinder.toml"
    file.write_text('hub = ["https://a.org", "http://b.org", "http://127.0.0.1:8000"]\nrepo = "org/name"\n')
    warnings = load_config(file=file, environment={}).warnings
    assert len(warnings) == 1
    assert warnings[0].startswith("http://b.org is not encrypted")
    assert warnings[0].endswith("(clinder.toml)")
    from_option = load_config(options={"hub": "http://c.org", "repo": "org/name"}, file=file, environment={}).warnings
    assert [text.endswith("(--hub)") for text in from_option] == [True]
