"""What figures read of the pipeline's files."""

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
    """A csv file that has at least these columns; names stay text ("None", "nan" and "007" are names)."""
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
    """Full precision, one line ending on every system."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def read_clips(clips: Path) -> pd.DataFrame:
    """name, label (int), action_name of every clip in a clip store's folder, in its order."""
    columns = ("name", "label", "action_name")
    table = read_csv(clips / "clips.csv", columns)[list(columns)]
    if not pd.api.types.is_integer_dtype(table["label"]):
        raise InputError(f"{clips / 'clips.csv'}: column label must hold whole numbers: ingest again")
    return table


def class_names(clips: pd.DataFrame) -> dict[int, str]:
    """Label → action name, by label."""
    unique = clips.drop_duplicates("label").sort_values("label")
    return dict(zip(unique["label"].tolist(), unique["action_name"].tolist(), strict=True))
