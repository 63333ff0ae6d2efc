"""The embedded hub: a real Jupyter Server for a folder or whatever git can clone, without a network or a cluster."""

from clinder.hubs.local.hub import LocalHub, is_alive, stop

__all__ = ["LocalHub", "is_alive", "stop"]
