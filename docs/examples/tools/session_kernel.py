"""Kernels of a session for nbclient, and so for nbconvert: jupyter_server's gateway client, with the token.

That client (jupyter_server 2.21) leaves the token out where it opens a kernel's WebSocket, and is refused (measured).
"""

from __future__ import annotations

import functools
import os
from typing import Any

from jupyter_server.gateway import managers


class SessionKernelClient(managers.GatewayKernelClient):
    """Opens the WebSocket with the token."""

    async def start_channels(self, *arguments: Any, **options: Any) -> None:
        """Start the channels of the kernel."""
        connect = managers.websocket.create_connection
        authorization = {"Authorization": f"token {os.environ['JUPYTER_TOKEN']}"}
        managers.websocket.create_connection = functools.partial(connect, header=authorization)
        try:
            await super().start_channels(*arguments, **options)
        finally:
            managers.websocket.create_connection = connect


class SessionKernelManager(managers.GatewayKernelManager):
    """Starts and stops kernels in the session."""

    client_class = "session_kernel.SessionKernelClient"
    client_factory = SessionKernelClient
