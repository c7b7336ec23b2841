"""Steps of stage 1 one behind the other, as a training takes them: `stars bench` waits for the device after each, a
training does not.

python benchmarks/steps.py --config config/paper.yaml --batch 128        on a GPU: as it is, and compiled in four ways
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from stars.backbones import narrow_attention
from stars.backbones.attention import Block, Blocks
from stars.bench.measure import product_rate
from stars.bench.steps import random_clips
from stars.config import Config, Pretrain
from stars.config.reading import merge
from stars.pipeline import configuration
from stars.plan.encoder import Encoder
from stars.plan.work import Size, amount
from stars.training import pretrain
from stars.training.optimiser import optimiser_of
from stars.training.run import Step


def compiled(kind: type[nn.Module]) -> Callable[[nn.Module], None]:
    """Compiles every part of a kind by itself."""

    def compile_parts(model: nn.Module) -> None:
        narrow_attention.constant_when_compiled()
        for part in model.modules():
            if isinstance(part, kind):
                part.compile()

    return compile_parts


def whole(**options: str) -> Callable[[nn.Module], None]:
    """A way that compiles mask, target, encoder, decoder and loss together."""

    def compile_loss(model: nn.Module) -> None:
        narrow_attention.constant_when_compiled()
        model.objective.loss = torch.compile(model.objective.loss, dynamic=False, **options)

    return compile_loss


WAYS: dict[str, Callable[[nn.Module], None]] = {
    "as it is": lambda model: None,
    "blocks compiled one by one": compiled(Block),
    "stack of blocks compiled (compute.compile)": compiled(Blocks),
    "whole model compiled": whole(),
    "whole model, as a CUDA graph": whole(mode="reduce-overhead"),
}


def stepper(
    config: Config, batch: int, single: float, device: str, way: Callable[[nn.Module], None]
) -> tuple[Callable[[int], None], float]:
    """A step in bf16, numbered from 0, and its model operations."""
    described = configuration.dataset(config, next(iter(config.data)))
    settings = Pretrain.model_validate(merge(config.pretrain.model_dump(), {"precision": "bf16"}))
    clips, joints = random_clips(max(256, batch), len(described.joints), single, device), len(described.joints)
    stage = pretrain.PretrainStage(seed=0, model=config.model, pretrain=settings)
    model = pretrain.untrained(stage, joints).to(device)
    way(model)
    loss = Step(model, clips, pretrain.step_settings(stage))
    optimiser = optimiser_of(model.parts(), settings.optimiser)

    def step(number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        torch.compiler.cudagraph_mark_step_begin()
        value = loss(torch.randperm(len(clips), generator=generator)[:batch], generator)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()

    spent = {"pretrain": merge(settings.model_dump(mode="json"), {"optimiser": {"epochs": 1}})}
    return step, amount("pretrain", spent, Encoder.transformer(config.model), Size(batch, 0, 2 - single)).amount


def seconds_a_step(step: Callable[[int], None], device: str, steps: int, rounds: int = 3) -> float:
    """Median over rounds; the device is waited for once a round."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    for number in range(3):
        step(number)
    taken = []
    for _ in range(rounds):
        wait()
        began = time.perf_counter()
        for number in range(steps):
            step(3 + number)
        wait()
        taken.append((time.perf_counter() - began) / steps)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="config/paper.yaml", metavar="FILE")
    parser.add_argument("--batch", type=int, default=128, metavar="N", help="clips a step [128]")
    parser.add_argument("--single", type=float, default=0.0, metavar="P", help="share of clips with one body [0]")
    parser.add_argument("--steps", type=int, default=8, metavar="N", help="steps a round [8]")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="[cuda]")
    chosen = parser.parse_args()
    config, rate = configuration.load_file(chosen.config, []), product_rate(chosen.device, "bf16")
    print(
        f"bf16 product {rate / 1e12:.1f} TFLOP/s; {chosen.batch} clips a step, {100 * chosen.single:.0f} % with one"
        " body"
    )
    for name, way in WAYS.items():
        step, operations = stepper(config, chosen.batch, chosen.single, chosen.device, way)
        taken = seconds_a_step(step, chosen.device, chosen.steps)
        share = operations / taken / rate
        print(
            f"{name:45}{1e3 * taken:9.1f} ms{chosen.batch / taken:9.0f} clips/s{100 * share:7.1f} % of the product",
            flush=True,
        )
        torch._dynamo.reset()


if __name__ == "__main__":
    main()
