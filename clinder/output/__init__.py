"""Output: progress, text, JSON and logs."""
