"""The hubs: a BinderHub over HTTP, and the embedded one that needs no network."""
