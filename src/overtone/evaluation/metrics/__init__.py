"""Metrics that compare a restored signal with its original, and their registry."""
