"""clinder keeps one Binder session: it launches it, looks at it and stops it, as `clinder.toml` declares."""

__version__ = "0.1.0"

HOME_PAGE = "https://github.com/clinder-dev/clinder"
