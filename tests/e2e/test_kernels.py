"""Kernels that are slow to start, on real Jupyter Servers of several versions.

The kernel here is quick to answer once it is there. Servers up to 2.17 then often miss the one message from which they
would learn that it is idle, and say `starting` of it for good.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from embedded import eventually, processes_of
from pace import assert_took_under
from tools import python_packages

from clinder.model.errors import LaunchError
from clinder.model.session import Session
from clinder.net.jupyter import JupyterServer

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_S = 60.0
LAUNCHES = 8
KERNEL = """
import json, sys, time

time.sleep(float(sys.argv[2]))
if sys.argv[3] == "dies":
    sys.exit("this kernel dies")

import zmq
from jupyter_client.session import Session

with open(sys.argv[1]) as file:
    info = json.load(file)
session = Session(key=info["key"].encode(), signature_scheme=info["signature_scheme"])
context = zmq.Context()


def bind(kind, name):
    socket = context.socket(kind)
    socket.bind(f"{info['transport']}://{info['ip']}:{info[name + '_port']}")
    return socket


heartbeat, iopub = bind(zmq.REP, "hb"), bind(zmq.PUB, "iopub")
others = [bind(zmq.ROUTER, name) for name in ("control", "stdin", "shell")]
poller = zmq.Poller()
for socket in (heartbeat, *others):
    poller.register(socket, zmq.POLLIN)
while True:
    for socket, _ in poller.poll():
        if socket is heartbeat:
            socket.send(socket.recv())
            continue
        identities, message = session.recv(socket, 0)
        session.send(iopub, "status", {"execution_state": "busy"}, parent=message)
        if message["msg_type"] == "kernel_info_request":
            content = {"status": "ok", "protocol_version": "5.3", "language_info": {"name": "q"}, "banner": ""}
            session.send(socket, "kernel_info_reply", content, parent=message, ident=identities)
        session.send(iopub, "status", {"execution_state": "idle"}, parent=message)
        if message["msg_type"] == "shutdown_request":
            session.send(socket, "shutdown_reply", {"status": "ok"}, parent=message, ident=identities)
            sys.exit()
"""


def write_kernel(folder: Path, python: Path, name: str, *arguments: str) -> None:
    """Write a kernelspec; its program and arguments go into the file that Jupyter reads."""
    spec = folder / "jupyter" / "kernels" / name
    spec.mkdir(parents=True)
    (spec / "kernel.py").write_text(KERNEL)
    argv = [str(python), str(spec / "kernel.py"), "{connection_file}", *arguments]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": name, "language": "q"}))


@contextmanager
def jupyter_server(programs: Path, folder: Path) -> Iterator[Session]:
    """Run the Jupyter Server of an environment, with kernels that take one to three seconds, and one that dies."""
    for number in range(LAUNCHES):
        slept_s = 1 + 2 * number / (LAUNCHES - 1)
        write_kernel(folder, programs / "python", f"slow{number}", str(slept_s), "works")
    write_kernel(folder, programs / "python", "dying", "0.1", "dies")
    token, port = secrets.token_hex(8), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "COVERAGE"))}
    environment |= {"HOME": str(folder), "JUPYTER_DATA_DIR": str(folder / "jupyter"), "JUPYTER_TOKEN": token}
    options = [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--ServerApp.base_url=/user/x/"]
    options += ["--no-browser", "--allow-root", f"--ServerApp.root_dir={folder}", "--KernelRestarter.time_to_dead=0.2"]
    with (folder / "log").open("wb") as log:
        command = [str(programs / "jupyter-server"), *options]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    session = Session(url=f"http://127.0.0.1:{port}/user/x/", token=token)
    try:
        with JupyterServer(session, connect=timedelta(seconds=10)) as server:
            server.await_answer(deadline=time.monotonic() + LIMIT_S, pause=time.sleep)
        yield session
    finally:
        process.terminate()
        try:
            process.wait(LIMIT_S / 4)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    eventually(lambda: processes_of(folder) == [], "all kernels have ended")


def free_port() -> int:
    with socket.socket() as finder:
        finder.bind(("127.0.0.1", 0))
        return int(finder.getsockname()[1])


@pytest.fixture(
    params=[("jupyter-server==2.14.0",), ("jupyter-server==2.17.0",), ("jupyter-server-documents==0.3.3",), None],
    ids=["2.14", "2.17", "documents", "newest"],
    scope="module",
)
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The session of a server of each kind; `newest` is that of the embedded hub, in this environment."""
    programs = Path(sys.executable).parent
    if request.param is not None:
        programs = python_packages(request.param[0].replace("==", "-"), *request.param)
    with jupyter_server(programs, tmp_path_factory.mktemp("server")) as running:
        yield running


def warm(session: Session, kernel: str) -> str:
    with JupyterServer(session, connect=timedelta(seconds=10)) as server:
        return server.warm(kernel, deadline=time.monotonic() + LIMIT_S, pause=time.sleep)


def test_every_kernel_that_takes_one_to_three_seconds_is_ready(session: Session) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        doubts = list(pool.map(lambda number: warm(session, f"slow{number}"), range(LAUNCHES)))
    assert doubts == [""] * LAUNCHES
    assert_took_under(time.monotonic() - began, LIMIT_S / 2)
    answer = requests.get(f"{session.url}api/kernels?token={session.token}", timeout=LIMIT_S)
    assert answer.json() == [], "all were stopped"


def test_a_kernel_that_dies_is_said_to_have_died(session: Session) -> None:
    with pytest.raises(LaunchError, match=r"the kernel 'dying' (died while it started|could not be started)"):
        warm(session, "dying")


def test_a_kernel_that_is_not_there_is_said_beside_those_that_are(session: Session) -> None:
    with pytest.raises(LaunchError, match=r"the kernel 'nope' could not be started \(HTTP .*\): the server has dying"):
        warm(session, "nope")
