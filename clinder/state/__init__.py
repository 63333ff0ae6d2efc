"""What clinder remembers of sessions: the records in `.clinder`, the folder that holds them, and the lock on it."""

from clinder.state.folder import StateFolder
from clinder.state.records import Pending, Process, State

__all__ = ["Pending", "Process", "State", "StateFolder"]
