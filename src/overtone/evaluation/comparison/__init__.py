"""Comparison of systems on the test split: run every system, score every chunk, aggregate by track."""
