"""clinder under a continuous integration service: GitHub Actions."""
