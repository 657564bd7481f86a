"""TODO."""

from pathlib import Path

from overtone.core.storage import is_address

INDEX = ("pair", "track_id", "part", "channel", "shard", "start", "samples", "scale", "rate", "bandwidth")


def shard_location(address: str, digest: str) -> Path | str:
    """Where a shard lies in a store."""
    name = f"{address.rstrip('/')}/{digest}.i16"
    return name if is_address(name) else Path(name)
