"""Fitness that a generation earns by its answers, and what of these the next may learn."""
