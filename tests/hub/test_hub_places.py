"""A hub may send clinder to the internet, and no nearer to this machine than it is itself."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from clinder.config.loading import Config
from clinder.hubs.binderhub import BinderHub
from clinder.model.errors import ClinderError, HubError, LaunchError
from clinder.model.events import Message
from clinder.net.loopback import AddressSpace
from clinder.operations.lifecycle import up
from clinder.operations.oneshot import start
from clinder.state import StateFolder
from hub.servers import Connection, JupyterSession, Request, Server

if TYPE_CHECKING:
    from clinder.operations.context import RunContext
    from hub.conftest import Heard

Configure = Callable[..., Config]
Place = Callable[[Server, AddressSpace], None]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    """Have servers of this machine count as servers elsewhere, by their ports."""
    places: dict[int, AddressSpace] = {}

    def space_of_peer(sock: socket.socket) -> AddressSpace:
        return places.get(sock.getpeername()[1], AddressSpace.LOOPBACK)

    monkeypatch.setattr("clinder.net.connections._space_of_peer", space_of_peer)
    return lambda server, space: places.__setitem__(server.port, space)


@pytest.fixture
def lookup(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Have names lead to these addresses; nobody else is asked."""
    known: dict[str, list[str]] = {}
    genuine = socket.getaddrinfo

    def look_up(host: str, *others: object, **more: object) -> object:
        if host.replace(".", "").isdigit():
            return genuine(host, *others, **more)  # type: ignore[arg-type]
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        port = others[0] if others else 80
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


def failure(config: Config, context: RunContext) -> ClinderError:
    with pytest.raises(ClinderError) as caught:
        start(config, context)
    return caught.value


def told(heard: Heard) -> list[str]:
    return [item.text for item in heard.items if isinstance(item, Message)]


LOOPBACK_FORMS = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.0.0.1.",
    "localhost",
    "LOCALHOST.",
    "evil.localhost",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "0.0.0.0",
    "0",
]


@pytest.mark.parametrize(
    "host", [*LOOPBACK_FORMS, "169.254.169.254", "[fe80::1]", "0xa9fea9fe", "10.0.0.1", "[fd00::1]"]
)
def test_a_hub_elsewhere_cannot_name_a_session_on_or_near_this_machine(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext, place: Place, host: str
) -> None:
    place(hub, AddressSpace.PUBLIC)
    url = f"http://{host}:{session.port}{session.base}"
    hub.handler = session.launch(url=url)
    error = failure(configure(), context)
    assert isinstance(error, LaunchError)
    assert f"{url} leads to " in error.message
    assert f"{hub.url} does not" in error.message
    assert session.requests == []


def test_a_session_that_is_refused_is_not_recorded(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext, place: Place
) -> None:
    place(hub, AddressSpace.PUBLIC)
    with pytest.raises(LaunchError) as caught:
        up(configure(), context)
    assert "A session may be left" in caught.value.hint
    state = StateFolder(configure().state_dir).read()
    assert (state.session, state.retired) == (None, ())
    assert session.requests == []


@pytest.mark.parametrize(
    ("space", "host", "is_fine"),
    [
        (AddressSpace.PRIVATE, "10.0.0.1", True),
        (AddressSpace.PRIVATE, "127.0.0.1", False),
        (AddressSpace.PRIVATE, "169.254.169.254", False),
        (AddressSpace.LOOPBACK, "192.168.49.2", True),
        (AddressSpace.LOOPBACK, "169.254.169.254", False),
        (AddressSpace.LINK_LOCAL, "169.254.1.1", True),
        (AddressSpace.LINK_LOCAL, "127.0.0.1", False),
        *((space, "8.8.8.8", True) for space in AddressSpace),
    ],
)
def test_a_session_is_as_far_away_as_its_hub_or_farther(space: AddressSpace, host: str, is_fine: bool) -> None:
    hub = BinderHub("http://hub.test", connect_s=1)
    hub._space = space
    if is_fine:
        assert hub.vet(f"http://{host}:8000/user/x/") == ""
    else:
        with pytest.raises(LaunchError):
            hub.vet(f"http://{host}:8000/user/x/")


@pytest.mark.parametrize(
    ("addresses", "is_fine"),
    [
        (["127.0.0.1"], False),
        (["8.8.8.8", "127.0.0.1"], False),
        (["169.254.169.254"], False),
        (["8.8.8.8"], True),
        (["10.0.0.1"], True),  # inside an institution a name may lead into its own network
        ([], True),
    ],
)
def test_a_name_is_looked_up(lookup: dict[str, list[str]], addresses: list[str], is_fine: bool) -> None:
    if addresses:
        lookup["session.test"] = addresses
    hub = BinderHub("http://hub.test", connect_s=1)
    if is_fine:
        assert hub.vet("http://session.test/user/x/") == ""
    else:
        with pytest.raises(LaunchError, match="leads to"):
            hub.vet("http://session.test/user/x/")


def test_a_hub_of_this_machine_may_have_a_name_and_so_may_its_session(
    session: JupyterSession,
    configure: Configure,
    context: RunContext,
    lookup: dict[str, list[str]],
    heard: Heard,
) -> None:
    lookup["binder.test"] = lookup["hub.binder.test"] = ["127.0.0.1"]
    with Server(session.launch(url=f"http://hub.binder.test:{session.port}{session.base}")) as hub:
        start(configure(hub=f"http://binder.test:{hub.port}"), context)
    assert session.requests


def test_a_session_at_another_port_of_this_machine_is_said(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext, heard: Heard
) -> None:
    """A BinderHub that is developed on a laptop has its JupyterHub at another port."""
    start(configure(), context)
    assert told(heard) == [f"the session is at {session.session_url}, another port of this machine than the hub's"]


def test_nothing_is_said_of_a_session_at_a_port_that_a_redirect_led_to(
    session: JupyterSession, configure: Configure, context: RunContext, heard: Heard
) -> None:
    front_url = ""

    def member(request: Request, connection: Connection) -> None:
        if request.path.startswith("/build/"):
            session.launch(url=f"{front_url}{session.base}")(request, connection)
        else:
            session._route(request, connection)

    with Server(member) as hub:
        front_url = hub.url
        with Server(lambda request, connection: connection.answer(307, Location=hub.url + request.path)) as front:
            start(configure(hub=front.url, session__warm="off"), context)
    assert told(heard) == []


# Redirects


@pytest.mark.parametrize("target", ["http://127.0.0.1:{port}", "http://localhost:{port}", "http://near.test:{port}"])
@pytest.mark.parametrize("doing", ["launch", "check"])
def test_a_redirect_does_not_lead_nearer_than_it_came_from(
    configure: Configure,
    context: RunContext,
    place: Place,
    lookup: dict[str, list[str]],
    target: str,
    doing: str,
) -> None:
    lookup["near.test"] = lookup["localhost"] = ["127.0.0.1"]
    with Server() as victim, Server() as hub:
        to = target.format(port=victim.port)
        hub.handler = lambda request, connection: connection.answer(307, Location=to + request.path)
        place(hub, AddressSpace.PUBLIC)
        doings: dict[str, Callable[[], object]] = {
            "launch": lambda: start(configure(hub=hub.url), context),
            "check": lambda: BinderHub(hub.url, connect_s=2).report(),
        }
        with pytest.raises(HubError, match="redirects from the internet to this machine"):
            doings[doing]()
        assert victim.requests == []


def test_a_redirect_to_a_metadata_service_is_not_followed(configure: Configure, context: RunContext) -> None:
    with Server(lambda _request, connection: connection.answer(302, Location="http://169.254.169.254/latest/")) as hub:
        error = failure(configure(hub=hub.url), context)
    assert "redirects from this machine to a link-local address" in error.message


def test_a_chain_of_redirects_from_here_and_back_is_refused(
    configure: Configure, context: RunContext, place: Place
) -> None:
    with Server() as victim, Server() as second, Server() as first:
        second.handler = lambda request, connection: connection.answer(307, Location=victim.url + request.path)
        first.handler = lambda request, connection: connection.answer(307, Location=second.url + request.path)
        place(second, AddressSpace.PUBLIC)
        assert "redirects from" in failure(configure(hub=first.url), context).message
        assert victim.requests == []


def test_a_redirect_of_a_look_at_a_hub_is_followed() -> None:
    versions = {"binderhub": "1"}
    with (
        Server(lambda _request, connection: connection.json(200, versions)) as member,
        Server(lambda request, connection: connection.answer(302, Location=member.url + request.path)) as front,
    ):
        assert BinderHub(front.url, connect_s=2).report().is_binderhub
