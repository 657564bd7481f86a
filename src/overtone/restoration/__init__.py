"""Restore recordings: files, arrays and streams."""
