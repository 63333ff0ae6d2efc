"""Settings from `clinder.toml`, options and environment variables, with their sources; and discovery for `init`."""
