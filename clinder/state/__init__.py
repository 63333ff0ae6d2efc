"""The recorded state: the folder `.clinder`, its records and its lock."""

from clinder.state.folder import StateFolder
from clinder.state.records import Pending, Process, State

__all__ = ["Pending", "Process", "State", "StateFolder"]
