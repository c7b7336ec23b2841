"""Check snakemake's command line before Snakemake parses it: a mistake gives a one-line error instead of a traceback.

The default profile (workflow/profiles/default) calls `check`, since Snakemake opens configuration files before it reads
the Snakefile.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from stars.errors import InputError

# options that take configuration files, and KEY=VALUE
FILES, KEYS = ("--configfile", "--configfiles"), ("--config", "-C")


def check(arguments: Sequence[str] | None = None) -> None:
    """Exit with code 1 and a one-line error if a value of --configfile is not a file, or one of --config is not
    KEY=VALUE with a key of the first level.

    Args:
        arguments: snakemake's arguments; None: those of this process.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        for word in values(given, FILES):
            if not Path(word).is_file():
                raise InputError(
                    f"configuration file {word} does not exist: give the path of a .yaml file, and put targets after --"
                )
        for word in values(given, KEYS):
            if "=" not in word:
                raise InputError(f"--config {word}: expected key=value, e.g. 'seeds=[0,1]'; put targets after --")
            if "." in word.partition("=")[0]:
                raise InputError(f"--config {word}: Snakemake takes a key of a block as --config {_as_block(word)}")
    except InputError as error:
        print(f"stars: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _as_block(word: str) -> str:
    """KEY.KEY=VALUE as Snakemake takes it, quoted for a shell."""
    from stars.pipeline.configuration import overriding
    from stars.plan.changes import as_config

    return shlex.join(as_config(overriding([word], "--config")))


def values(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """The words that follow any of these options, up to the next option."""
    found, taken = [], False
    for word in arguments:
        if word == "--":
            break
        if word.startswith("-") and not word[1:2].isdigit():
            name, equals, value = word.partition("=")
            taken = name in options
            found += [value] if taken and equals else []
            taken = taken and not equals
        elif taken:
            found.append(word)
    return found
