"""Define a pair: its degradation and its storage format."""
