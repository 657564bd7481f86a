"""Read and write tables of tracks, indexed by ``track_id``."""

from pathlib import Path

import pandas as pd

from overtone.core.atomic import replacing
from overtone.core.errors import OvertoneError


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote; all columns are text.

    Raises:
        OvertoneError: the file is missing.
    """
    try:
        table = pd.read_csv(path, index_col="track_id", dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise OvertoneError(f"{path} is missing; run dvc repro") from None
    table.index = table.index.astype(int)
    return table


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        table.to_csv(temporary)
