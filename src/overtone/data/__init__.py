"""Prepare music for training: sources, the catalog of tracks, pairs, and the segments that training reads."""
