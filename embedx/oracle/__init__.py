"""Verdicts on results: goldens."""
