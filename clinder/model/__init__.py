"""Data types without I/O: errors, events, sessions, repositories and durations."""
