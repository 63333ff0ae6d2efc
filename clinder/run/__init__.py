"""A command under a session: its process, its environment, the watch on the session, the browser."""
