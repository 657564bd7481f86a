"""Restore streams: measure the input, run a network over it, add the band above the cutoff."""
