"""Name the columns of a pair's index, and the location of shards in a store."""

from pathlib import Path

from overtone.core.storage import is_address

INDEX = ("pair", "track_id", "part", "channel", "shard", "start", "samples", "scale", "rate", "bandwidth")


def shard_location(address: str, digest: str) -> Path | str:
    """Return the location of a shard in a store."""
    name = f"{address.rstrip('/')}/{digest}.i16"
    return name if is_address(name) else Path(name)
