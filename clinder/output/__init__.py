"""Everything that is shown or kept for people: progress, text, JSON, logs."""
