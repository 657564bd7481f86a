"""Decode every track once and write its pairs into shards."""
