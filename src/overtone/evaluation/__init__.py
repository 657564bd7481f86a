"""Scoring: metrics, the comparison of systems on test tracks, and the listening test."""
