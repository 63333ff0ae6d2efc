"""Use a session: run a command with it, watch it, open it in a browser."""
