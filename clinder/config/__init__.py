"""Settings: `clinder.toml`, options and environment variables, where each value came from, and what `init` finds."""
