"""The GitHub Action: what its steps do, and what they write to the job's log and summary."""
