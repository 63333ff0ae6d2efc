"""HTTP: one client for all requests, a Jupyter Server's REST API, and what must not leave this machine."""
