"""A short run of tests/torture.py; `make torture` is the long one."""

import pytest
import torture


def test_killed_trainings_end_with_the_bytes_of_undisturbed_ones(tmp_path):
    counts = torture.torture(tmp_path, kills=6, seed=0, epochs=20)
    assert counts["kills"] == 6 and counts["resumed"] >= 1 and counts["ends"] >= 2


def test_another_byte_and_a_file_left_behind_are_found(tmp_path):
    out = tmp_path / "pretrain"
    out.mkdir()
    for name in ("encoder.safetensors", "record.json"):
        (out / name).write_bytes(b"bytes")
    torture.compare(out, {"encoder.safetensors": b"bytes"})
    with pytest.raises(AssertionError, match=r"other bytes in encoder\.safetensors"):
        torture.compare(out, {"encoder.safetensors": b"others"})
    (tmp_path / ".work").mkdir()
    with pytest.raises(AssertionError, match=r"left behind: \.work"):
        torture.compare(out, {"encoder.safetensors": b"bytes"})
