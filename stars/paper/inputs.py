"""Read the pipeline's files for figures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from stars.config import Settings, key
from stars.errors import InputError
from stars.provenance.files import atomic


class Panel(Settings):
    """One method in a figure."""

    method: str = key(..., "method's key")
    title: str = key(..., "method's name above its panel")


TEXT = {"name": str, "action_name": str}


def read_csv(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a csv file with at least these columns; names stay text ("None", "nan" and "007" are names)."""
    try:
        table = pd.read_csv(path, dtype=TEXT, keep_default_na=False, na_values={})
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run the stage that makes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is not a readable csv file ({' '.join(str(error).split())}): delete it and run again"
        ) from None
    if lacking := [column for column in columns if column not in table]:
        raise InputError(f"{path} has no column {lacking[0]}: delete it and run again")
    return table


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table in full precision, with the same line endings on every system."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def read_clips(clips: Path) -> pd.DataFrame:
    """name, label (int) and action_name of every clip of a clip store's folder, in its order."""
    columns = ("name", "label", "action_name")
    table = read_csv(clips / "clips.csv", columns)[list(columns)]
    if not pd.api.types.is_integer_dtype(table["label"]):
        raise InputError(f"{clips / 'clips.csv'}: column label must contain integers: ingest again")
    return table


def class_names(clips: pd.DataFrame) -> dict[int, str]:
    """Label → action name, sorted by label."""
    unique = clips.drop_duplicates("label").sort_values("label")
    return dict(zip(unique["label"].tolist(), unique["action_name"].tolist(), strict=True))
