"""Tests against real servers on the loopback, which misbehave like real hubs."""
