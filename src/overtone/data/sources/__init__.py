"""Provide the music: archives over HTTP, bundled archives, or a folder of one's own."""
