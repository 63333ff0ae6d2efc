"""The GitHub Action: its steps, and their output in the log and summary of the job."""
