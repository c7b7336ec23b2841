"""The numeric tests as other processors would compute them: `make test-processors`, `.venv/bin/python
tests/processors.py --short`.

torch, oneDNN and OpenBLAS choose their kernels by the processor's instructions; environment variables make each choose
those of an older one. MKL, which torch uses for some matmuls, is not limited.
A processor whose instructions this machine lacks is skipped, with a line that says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def _as(torch: str, onednn: str, openblas: str) -> dict[str, str]:
    """Environment in which each library chooses the kernels of a processor."""
    return {"ATEN_CPU_CAPABILITY": torch, "ONEDNN_MAX_CPU_ISA": onednn, "OPENBLAS_CORETYPE": openblas}


OLDEST = _as("default", "SSE41", "Prescott")
SHORT = [
    *sorted(path.name for path in TESTS.glob("test_parity*.py")),
    "test_floors.py",
    "test_evaluation.py",
    "test_statistics.py",
]
NUMERIC = [
    *SHORT,
    *(f"test_{name}.py" for name in ("arithmetic", "augment", "few_shot", "finetune", "model", "nnclr")),
    *(f"test_{name}.py" for name in ("sampling", "strategies", "train", "training", "use", "views")),
]
PROCESSORS = [  # name, instructions that this machine needs, environment
    ("before AVX (2004 to 2010)", "", OLDEST),
    ("Intel Haswell, AMD Zen (AVX2)", "avx2", _as("avx2", "AVX2", "Haswell")),
    ("Intel Skylake-X (AVX-512)", "avx512bw", _as("avx512", "AVX512_CORE", "SkylakeX")),
    ("Intel Cooper Lake, AMD Zen 4 (AVX-512, bf16)", "avx512_bf16", _as("avx512", "AVX512_CORE_BF16", "SkylakeX")),
    ("Intel Sapphire Rapids (AMX)", "amx_tile", _as("avx512", "AVX512_CORE_AMX", "SkylakeX")),
    ("this one, two threads", "", {"OMP_NUM_THREADS": "2"}),
]


def main() -> None:
    """Run them as every processor, or with --short fewer of them as the oldest one; exit code 1 if any fails."""
    flags = {
        word
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("flags")
        for word in line.split()
    }
    short = sys.argv[1:] == ["--short"]
    failed = False
    for words, needed, environment in (
        [("before AVX, two threads", "", {**OLDEST, "OMP_NUM_THREADS": "2"})] if short else PROCESSORS
    ):
        if needed and needed not in flags:
            print(f"{words:46} skipped: this machine has no {needed}")
            continue
        command = [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", *(SHORT if short else NUMERIC)]
        done = subprocess.run(
            command,
            cwd=TESTS,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        failed |= done.returncode != 0
        lines = done.stdout.splitlines()
        counts = lines[-1].strip("= ") if lines else done.stderr.strip()  # "31 passed in 60.00s"
        failures = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        print(f"{words:46} {'green' if done.returncode == 0 else 'RED'}, {counts}", *failures, sep="\n  ", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
