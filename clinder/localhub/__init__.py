"""The embedded hub: builds environments and runs Jupyter Servers on this machine."""
