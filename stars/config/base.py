"""What every block of settings is made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Epochs = Annotated[float, Field(ge=0)]


class Settings(BaseModel):
    """Base of every block: unknown keys are refused, and it cannot be changed once made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def key(default: Any, text: str, **limits: Any) -> Any:
    """One setting: its default, and what it means with its unit."""
    return Field(default, description=text, **limits)
