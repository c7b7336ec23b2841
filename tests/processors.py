"""The numeric tests as other processors would compute them: `make test-processors`, `.venv/bin/python tests/processors.py --short`.

torch, oneDNN and OpenBLAS choose their kernels by the processor's instructions; each can be told to choose as an older one would. A setting that this
machine's processor lacks the instructions for is left out, with a word.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
SHORT = [*sorted(path.name for path in TESTS.glob("test_parity*.py")), "test_floors.py", "test_evaluation.py", "test_statistics.py"]
NUMERIC = [
    *SHORT,
    *(f"test_{name}.py" for name in ("arithmetic", "augment", "few_shot", "finetune", "model", "nnclr")),
    *(f"test_{name}.py" for name in ("sampling", "strategies", "train", "training", "use", "views")),
]
SETTINGS = [  # words, what the processor must have, environment
    ("torch without vector instructions", "", {"ATEN_CPU_CAPABILITY": "default"}),
    ("torch with AVX2", "avx2", {"ATEN_CPU_CAPABILITY": "avx2"}),
    ("torch with AVX-512", "avx512f", {"ATEN_CPU_CAPABILITY": "avx512"}),
    ("oneDNN with SSE4.1", "sse4_1", {"ONEDNN_MAX_CPU_ISA": "SSE41"}),
    ("oneDNN with AVX2", "avx2", {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    ("oneDNN with AVX-512", "avx512bw", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}),
    ("oneDNN with AVX-512 and bf16", "avx512_bf16", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}),
    ("oneDNN with AMX", "amx_tile", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"}),
    ("OpenBLAS as on Prescott", "", {"OPENBLAS_CORETYPE": "Prescott"}),
    ("OpenBLAS as on Haswell", "avx2", {"OPENBLAS_CORETYPE": "Haswell"}),
    ("OpenBLAS as on Zen", "avx2", {"OPENBLAS_CORETYPE": "Zen"}),
    ("OpenBLAS as on Skylake-X", "avx512f", {"OPENBLAS_CORETYPE": "SkylakeX"}),
    ("two threads", "", {"OMP_NUM_THREADS": "2"}),
]
OLDEST = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "OPENBLAS_CORETYPE": "Prescott", "OMP_NUM_THREADS": "2"}


def main() -> None:
    """Run them by every setting, or with --short by the oldest of all at once; exit code 1 if any fails."""
    flags = {word for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags") for word in line.split()}
    short = sys.argv[1:] == ["--short"]
    failed = False
    for words, needed, environment in [("all as on the oldest processors, two threads", "", OLDEST)] if short else SETTINGS:
        if needed and needed not in flags:
            print(f"{words:45} left out: this processor has no {needed}")
            continue
        command = [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", *(SHORT if short else NUMERIC)]
        done = subprocess.run(
            command, cwd=TESTS, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, capture_output=True, text=True, check=False
        )
        failed |= done.returncode != 0
        lines = done.stdout.splitlines()
        counts = lines[-1].strip("= ") if lines else done.stderr.strip()  # "31 passed in 60.00s"
        failures = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        print(f"{words:45} {'green' if done.returncode == 0 else 'RED'}, {counts}", *failures, sep="\n  ", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
