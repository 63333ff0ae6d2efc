"""Detection of loopback URLs, and warnings about unencrypted hubs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clinder.config.loading import load_config
from clinder.net.loopback import REACHABLE, AddressSpace, exposure, leads_to_loopback, space_of_host

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
def test_loopback_addresses_are_this_machine(url: str) -> None:
    assert leads_to_loopback(url)
    assert exposure(url) == ""


@pytest.mark.parametrize("url", ELSEWHERE)
def test_addresses_that_resemble_loopback_are_not(url: str) -> None:
    assert not leads_to_loopback(url)
    assert "is not encrypted" in exposure(url)


@pytest.mark.parametrize("url", ["https://mybinder.org", "https://10.0.0.1/user/x/", "local"])
def test_encrypted_and_embedded_hubs_give_no_warning(url: str) -> None:
    assert exposure(url) == ""


def test_an_invalid_url_is_not_this_machine() -> None:
    assert not leads_to_loopback("http://[bad")


def test_each_unencrypted_hub_gives_a_warning_with_its_source(tmp_path: Path) -> None:
    file = tmp_path / "clinder.toml"
    file.write_text('hub = ["https://a.org", "http://b.org", "http://127.0.0.1:8000"]\nrepo = "org/name"\n')
    warnings = load_config(file=file, environment={}).warnings
    assert len(warnings) == 1
    assert warnings[0].startswith("http://b.org is not encrypted")
    assert warnings[0].endswith("(clinder.toml)")
    from_option = load_config(options={"hub": "http://c.org", "repo": "org/name"}, file=file, environment={}).warnings
    assert [text.endswith("(--hub)") for text in from_option] == [True]


# Where a host lies


L, N, P, I = AddressSpace.LOOPBACK, AddressSpace.LINK_LOCAL, AddressSpace.PRIVATE, AddressSpace.PUBLIC  # noqa: E741


@pytest.mark.parametrize(
    ("host", "space"),
    [
        *((host, L) for host in ("127.0.0.1", "127.8.9.10", "127.1", "2130706433", "0x7f000001", "0177.0.0.1")),
        *((host, L) for host in ("0x7f.1", "127.0.0.1.", "0", "0.0.0.0", "localhost", "LocalHost.", "a.localhost")),
        *((host, L) for host in ("::1", "::", "::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "0:0:0:0:0:0:0:1")),
        *((host, L) for host in ("64:ff9b::7f00:1", "2002:7f00:1::", "localhost.localdomain")),
        *((host, N) for host in ("169.254.169.254", "0xa9fea9fe", "2852039166", "::ffff:169.254.169.254")),
        *((host, N) for host in ("fe80::1", "fe80::1%eth0")),
        *((host, P) for host in ("10.0.0.1", "192.168.49.2", "172.17.0.1", "fd00:ec2::254", "100.64.0.1")),
        *((host, I) for host in ("8.8.8.8", "134744072", "2001:4860:4860::8888", "::ffff:8.8.8.8")),
        *((host, None) for host in ("mybinder.org", "localhost.example.org", "127.0.0.1.example.org", "notlocalhost")),
        *((host, None) for host in ("127.0.0.256", "1.2.3.4.5", "", ".", "%", "é", "0x")),
    ],
)
def test_the_space_of_a_host_is_told_in_every_form(host: str, space: AddressSpace | None) -> None:
    assert space_of_host(host) is space


def test_nobody_may_lead_nearer_to_this_machine_than_they_are() -> None:
    allowed = {(source, target) for source, targets in REACHABLE.items() for target in targets}
    assert allowed == {(L, L), (L, P), (L, I), (P, P), (P, I), (I, I), (N, N), (N, P), (N, I)}


@pytest.mark.parametrize("url", ["http://127.1/", "http://2130706433/", "http://localhost./", "http://a.localhost/"])
def test_other_forms_of_the_loopback_are_this_machine_too(url: str) -> None:
    assert leads_to_loopback(url)


@pytest.mark.parametrize("url", ["http://[::]/", "http://0/", "http://[2002:7f00:1::]/", "http:///", "x"])
def test_what_others_reach_too_is_not_taken_for_the_loopback(url: str) -> None:
    assert not leads_to_loopback(url)
