"""The command ``overtone``: its options, its sub-commands, and what it prints."""
