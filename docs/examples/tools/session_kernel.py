"""Connect nbclient, and so nbconvert, to kernels of a session: jupyter_server's gateway client, with the token added.

Without this, the client (in jupyter_server 2.21) opens a kernel's WebSocket without the token, and is refused.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from jupyter_server.gateway import managers


class SessionKernelClient(managers.GatewayKernelClient):
    """A gateway client that sends the token when it opens the WebSocket."""

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
    """A kernel manager that starts and stops kernels in the session."""

    client_class = "session_kernel.SessionKernelClient"
    client_factory = SessionKernelClient
