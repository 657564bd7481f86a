"""Read and write sound files and their tags."""
