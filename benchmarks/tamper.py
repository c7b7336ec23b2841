"""Single bytes of a results folder changed at random, each followed by a whole audit that must name the file; and an
untouched copy.

    python benchmarks/tamper.py [--results results] [--config config/config.yaml] [--changes 1000] [--seed 0]
    [--together 1]

Run it from the project's folder. The results are copied first; every result, record and entry of the ledger is as
likely to be hit, at any byte.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from stars.audit.check import audit
from stars.config import Config
from stars.pipeline import configuration
from stars.provenance.lineage import result_files


def change(path: Path, draw: random.Random) -> bytes:
    """Change one byte of a file, and return what it was."""
    before = path.read_bytes()
    at = draw.randrange(len(before))
    path.write_bytes(before[:at] + bytes([before[at] ^ draw.randrange(1, 256)]) + before[at + 1 :])
    return before


def tamper(results: Path, configs: list[Config], changes: int, seed: int = 0, together: int = 1) -> list[str]:
    """Change a byte so many times, putting it back each time. Returns a line for each change that the audit did not
    find.

    A change is found where the audit has a line for that file that it had not before.

    Args:
        together: files, of one changed byte each, that one audit must name.
    """
    draw, files = (
        random.Random(seed),
        [path for path in result_files(results) if (results.parent / path).stat().st_size],
    )
    known, missed = set(audit(results, configs=configs)), []
    for done in range(0, changes, together):
        before = {
            path: change(results.parent / path, draw) for path in draw.sample(files, min(together, changes - done))
        }
        named = {line.partition(": ")[0] for line in set(audit(results, configs=configs)) - known}
        missed += [f"{path}: a changed byte was not found" for path in before if str(path) not in named]
        for path, content in before.items():
            (results.parent / path).write_bytes(content)
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description="Change single bytes of results and audit each time.")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--config", default="config/config.yaml")
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--together", type=int, default=1)
    chosen = parser.parse_args()
    configs = [configuration.load_file(chosen.config)]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(chosen.results, Path(folder) / "results")
        (Path(folder) / "config").symlink_to(Path("config").resolve())
        results, seconds = Path(folder) / "results", []
        for _ in range(3):
            began = time.perf_counter(), time.process_time()
            lines = list(audit(results, configs=configs))
            seconds.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        size = sum(path.stat().st_size for path in result_files(results))
        print(f"untouched: {len(lines)} lines; {len(list(result_files(results)))} files, {size / 1e6:.0f} MB")
        wall, processor = (statistics.median(column) for column in zip(*seconds, strict=True))
        print(f"an audit: {wall:.2f} s, of which this process had {processor:.2f} s of a processor")
        print(*lines, sep="\n", end="\n" if lines else "")
        missed = tamper(results, configs, chosen.changes, chosen.seed, chosen.together)
        print(*missed, f"{chosen.changes - len(missed)} of {chosen.changes} single-byte changes found", sep="\n")
    raise SystemExit(bool(missed or lines))


if __name__ == "__main__":
    main()
