"""Time of a training step of each stage, against a plain baseline, as a table.

    python benchmarks/train_step.py --size demo --threads 2
    python benchmarks/train_step.py --size paper --batch 8

The baseline is unfused fp32 attention with every body computed. The variants take turns, step by step, so that whatever else the
machine does falls on all alike; the median of each is shown. Clips are random walks, a quarter of them with a second body.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from unittest import mock

import torch
from torch import Tensor

from stars.config import Model, Pretrain, Sampling, Tune
from stars.data.sampling import Clips
from stars.model.encoder import Encoder
from stars.model.masked_motion import MaskedMotion
from stars.training import pretrain, tune
from stars.training.optimiser import adamw

JOINTS = 25
SIZES = {
    "demo": Model(frames=64, segment=8, width=96, heads=4, depth=4, hidden=384, decoder_width=96, decoder_depth=2, decoder_hidden=384),
    "paper": Model(),
}


def plain_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax(QKᵀ/√d)·V with the whole attention matrix in memory."""
    return (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1) @ value


def plain_features(encoder: Encoder, x_bmtvc: Tensor, bodies: str) -> Tensor:
    """Pooled tokens of every body, empty ones too, each computed."""
    return encoder(x_bmtvc.flatten(0, 1)).mean(1).unflatten(0, x_bmtvc.shape[:2]).mean(1)


@contextmanager
def plain() -> Iterator[None]:
    """Inside, models run as the baseline does."""
    with (
        mock.patch("torch.nn.functional.scaled_dot_product_attention", plain_attention),
        mock.patch.object(tune, "clip_features", plain_features),
    ):
        yield


def random_clips(count: int, device: str) -> Clips:
    """Clips of 64 to 128 frames, two bodies of which the second is empty in three of four."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(64, 129, (count,), generator=generator)
    starts = lengths.cumsum(0) - lengths
    frames = torch.randn(int(lengths.sum()), 2, JOINTS, 3, generator=generator) * 0.1
    frames[torch.repeat_interleave(torch.arange(count) % 4 > 0, lengths), 1] = 0
    return Clips(*(tensor.to(device) for tensor in (frames, starts, lengths, torch.zeros(count, dtype=torch.long))))


def stage_1(shape: Model, clips: Clips, **options: object) -> Callable[[int, int], None]:
    """One step of stage 1, as a function of batch and step."""
    settings = pretrain.PretrainStage(seed=0, model=shape, pretrain=Pretrain(**options))
    model = MaskedMotion(shape, settings.pretrain.motion, JOINTS).to(clips.frames.device)
    return stepper(pretrain.Step(model, clips, settings), adamw([(model, 1.0)], settings.pretrain.optimiser), len(clips))


def stage_2(shape: Model, clips: Clips, **options: object) -> Callable[[int, int], None]:
    """One step of stage 2, as a function of batch and step."""
    settings = tune.TuneStage(seed=0, tune=Tune(sampling=Sampling(rotation=0.0), **options))
    model = tune.Tuning(Encoder(shape, JOINTS), settings).to(clips.frames.device).train()
    return stepper(tune.Step(model, clips, settings.tune), adamw(model.parts(), settings.tune.optimiser), len(clips))


def stepper(loss: Callable[[Tensor, torch.Generator], Tensor], optimiser: torch.optim.Optimizer, count: int) -> Callable[[int, int], None]:
    def step(batch: int, number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        value = loss(torch.randperm(count, generator=generator)[:batch], generator)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()

    return step


def timed(step: Callable[[int, int], None], batch: int, number: int, baseline: bool, device: str) -> float:
    """Seconds of one step, the device's work included."""
    with plain() if baseline else nullcontext():
        began = time.perf_counter()
        step(batch, number)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="demo", help="model: the demo's or the paper's")
    parser.add_argument("--batch", type=int, default=64, help="clips a step")
    parser.add_argument("--steps", type=int, default=7, help="steps timed of each variant, after one that is not")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape, clips = SIZES[options.size], random_clips(max(256, options.batch), options.device)
    variants = {
        ("stage 1", "baseline"): stage_1(shape, clips),
        ("stage 1", "fp32"): stage_1(shape, clips),
        ("stage 1", "bf16"): stage_1(shape, clips, precision="bf16"),
        ("stage 1", "fp32, present bodies"): stage_1(shape, clips, bodies="present"),
        ("stage 2", "baseline"): stage_2(shape, clips),
        ("stage 2", "fp32"): stage_2(shape, clips),
        ("stage 2", "bf16"): stage_2(shape, clips, precision="bf16"),
    }
    seconds: dict[tuple[str, str], list[float]] = {name: [] for name in variants}
    for number in range(options.steps + 1):
        for name, step in variants.items():
            seconds[name].append(timed(step, options.batch, number, name[1] == "baseline", options.device))
    print(f"{options.size} size, batch {options.batch}, {options.threads} threads, {options.device}")
    print(f"{'stage':9}{'variant':22}{'ms':>9}{'clips/s':>10}{'ratio':>8}")
    for (stage, variant), measured in seconds.items():
        median, base = (statistics.median(values[1:]) for values in (measured, seconds[stage, "baseline"]))
        print(f"{stage:9}{variant:22}{median * 1e3:9.1f}{options.batch / median:10.1f}{base / median:7.2f}x")


if __name__ == "__main__":
    main()
