"""Access to the operating system: files, git and signals."""
