"""What every block of settings is made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Epochs = Annotated[float, Field(ge=0)]
Precision = Literal["auto", "fp32", "tf32", "bf16"]
MAX_STEPS = "stop after this many steps, with the learning-rate schedule of the full training, for trial runs; null: no limit"
PRECISION = "arithmetic of matrix products: fp32; bf16; tf32, on GPUs; or auto, which is bf16 where the device has units for it, else fp32"


class Settings(BaseModel):
    """Base of every block: unknown keys are refused, and it cannot be changed once made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def key(default: Any, text: str, **limits: Any) -> Any:
    """One setting: its default, and what it means with its unit."""
    return Field(default, description=text, **limits)
