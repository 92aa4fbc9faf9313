"""What one diagnostic code stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True)
class Code:
    """`code` as in messages, `title` in a few words, `explanation` in a few lines with a bad and a good example."""

    code: str
    title: str
    explanation: str
