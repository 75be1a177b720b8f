"""A graph is prepared once, planned, and run in a loop."""
