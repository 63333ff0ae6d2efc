"""The machine that clinder runs on: files, git, signals."""
