"""Tests against real servers on the loopback, which misbehave as real hubs do."""
