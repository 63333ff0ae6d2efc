"""Plain values and their rules: errors, events, sessions, repositories, durations. Nothing here reads or writes."""
