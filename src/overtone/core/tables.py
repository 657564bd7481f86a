"""Read and write the tables of tracks, by ``track_id``."""

from pathlib import Path

import pandas as pd

from overtone.core.atomic import replacing
from overtone.core.errors import OvertoneError


def read_table(path: Path) -> pd.DataFrame:
    """Read a table by ``track_id`` that `write_table` wrote; all columns are text.

    Raises:
        OvertoneError: it is not there.
    """
    try:
        table = pd.read_csv(path, index_col="track_id", dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise OvertoneError(f"{path} is not here; run dvc repro") from None
    table.index = table.index.astype(int)
    return table


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        table.to_csv(temporary)
