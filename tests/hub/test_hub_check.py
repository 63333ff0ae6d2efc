"""`hub check`: whether a URL is a BinderHub, and whether it is healthy."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from pace import assert_took_under

from clinder.hubs.binderhub import BinderHub, HubReport
from clinder.model.errors import HubError, UnreachableError
from hub.servers import Connection, Handler, Request, Server, refused_url

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSIONS = {"builder_info": {"build_image": "r2d:1"}, "binderhub": "0.2.0+2227", "builder": "r2d:1"}
WELL = {"ok": True, "checks": [{"service": "Docker registry", "ok": True}, {"service": "JupyterHub API", "ok": True}]}
UNWELL = {
    "ok": False,
    "checks": [{"service": "Docker registry", "ok": True}, {"service": "JupyterHub API", "ok": False}],
}
PROVIDERS = [{"id": "gh", "displayName": "GitHub"}, {"id": "zenodo", "displayName": "Zenodo DOI"}]


def answers(documents: Mapping[str, tuple[int, object]]) -> Handler:
    def handle(request: Request, connection: Connection) -> None:
        if request.path in documents:
            connection.json(*documents[request.path])
        else:
            connection.html(200)

    return handle


def report(documents: Mapping[str, tuple[int, object]]) -> HubReport:
    with Server(answers(documents)) as hub:
        return BinderHub(hub.url, connect_s=2).report()


def test_a_healthy_binderhub_reports_its_versions_and_providers() -> None:
    found = report({"/versions": (200, VERSIONS), "/health": (200, WELL), "/api/repoproviders": (200, PROVIDERS)})
    assert found.is_binderhub
    assert found.healthy
    assert found.providers == ["gh", "zenodo"]
    assert found.versions["binderhub"] == "0.2.0+2227"
    assert found.problem == ""


def test_an_unhealthy_hub_is_reported_with_its_failing_checks() -> None:
    found = report({"/versions": (200, VERSIONS), "/health": (503, UNWELL)})
    assert found.is_binderhub
    assert not found.healthy
    assert found.problem.endswith("is unwell: JupyterHub API")


def test_an_html_page_is_not_a_binderhub() -> None:
    found = report({})
    assert not found.is_binderhub
    assert "is not a BinderHub" in found.problem


def test_an_older_hub_without_a_list_of_providers_is_a_binderhub() -> None:
    assert report({"/versions": (200, VERSIONS), "/health": (200, WELL)}).providers == []


ODD = [
    None,
    5,
    "x",
    [],
    [None],
    {},
    {"id": 5},
    [{"id": ["x"]}],
    {"checks": 5},
    {"checks": None, "ok": True},
    {"checks": [5]},
]


@pytest.mark.parametrize("odd", ODD, ids=json.dumps)
def test_any_answer_of_a_hub_gives_a_report(odd: object) -> None:
    found = report({"/versions": (200, VERSIONS), "/health": (200, odd), "/api/repoproviders": (200, odd)})
    assert found.is_binderhub


@pytest.mark.parametrize("odd", ODD, ids=json.dumps)
def test_malformed_versions_are_not_those_of_a_binderhub(odd: object) -> None:
    assert not report({"/versions": (200, odd)}).is_binderhub


def test_a_hub_that_does_not_answer_is_unreachable() -> None:
    with refused_url() as url, pytest.raises(UnreachableError, match="Connection refused"):
        BinderHub(url, connect_s=2).report()


def test_a_redirect_to_an_invalid_url_is_not_an_internal_error() -> None:
    with (
        Server(lambda _request, connection: connection.html(302, Location="http://[bad")) as hub,
        pytest.raises(HubError, match="redirects to an invalid web address"),
    ):
        BinderHub(hub.url, connect_s=2).report()


def test_an_endlessly_slow_answer_is_abandoned_in_time() -> None:
    def drip(_request: Request, connection: Connection) -> None:
        connection.head(200, "application/json")
        for _ in range(200):
            connection.send(b" ")
            connection.wait(0.02)

    began = time.monotonic()
    with Server(drip) as hub, pytest.raises(UnreachableError, match="does not answer in time"):
        BinderHub(hub.url, connect_s=0.4).report()
    assert_took_under(time.monotonic() - began, 2)


def test_a_failing_check_that_does_not_matter_is_not_reported() -> None:
    quota = {"service": "Pod quota", "ok": False, "_ignore_failure": True}
    ill = {"ok": False, "checks": [quota, {"service": "JupyterHub API", "ok": False}]}
    assert report({"/versions": (200, VERSIONS), "/health": (503, ill)}).problem.endswith("is unwell: JupyterHub API")
