"""What is in a model, and what happens in a run."""
