"""Read pairs as segments and batches, and degrade originals on the fly."""
