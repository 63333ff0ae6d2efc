"""What the commands do: plan, apply, launch, inspect and stop."""
