"""The embedded hub: a real Jupyter Server for a folder or whatever git can clone, without a network or a cluster."""
