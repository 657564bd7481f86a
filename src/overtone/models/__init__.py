"""Predict the band above a cutoff: the networks, and the registry that builds, saves and loads them."""
