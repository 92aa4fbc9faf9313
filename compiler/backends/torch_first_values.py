"""Prints how a module draws a parameter's first numbers with `torch.nn.init`: the distribution of the record, at any rank.

The numbers themselves differ from those of `compiler.ir.initializers`, which a seeded NumPy generator draws. `nn.init` refuses
vectors and scalars where a fan or a rotation is meant; they are given as a matrix of one column, as the records count them.
"""

from __future__ import annotations

import math
from typing import Final

from compiler.ir.initializers import (
    Constant,
    FanInUniform,
    Initializer,
    KaimingNormal,
    Normal,
    Ones,
    Orthogonal,
    Uniform,
    XavierNormal,
    XavierUniform,
    Zeros,
    fans,
)

SHAPELESS: Final = (Constant, Normal, Ones, Uniform, Zeros)
"""Initializers whose text is the same for parameters of every shape."""


def print_first_values(init: Initializer, shape: tuple[int, ...], target: str) -> str:
    """The statement that fills the parameter `target`; raises ValueError for an initializer that has no form in torch."""
    matrix = target if len(shape) > 1 else f"{target}.detach().view(-1, 1)"
    match init:
        case Uniform():
            return f"nn.init.uniform_({target}, {init.low!r}, {init.high!r})"
        case FanInUniform():
            bound = init.gain / math.sqrt(fans(shape)[0] if init.fan is None else init.fan)
            return f"nn.init.uniform_({target}, {-bound!r}, {bound!r})"
        case Normal():
            return f"nn.init.normal_({target}, {init.mean!r}, {init.std!r})"
        case Constant():
            return f"nn.init.constant_({target}, {init.value!r})"
        case Ones() | Zeros():
            return f"nn.init.{init.name}_({target})"
        case KaimingNormal():
            return f"nn.init.kaiming_normal_({matrix})"
        case XavierUniform() | XavierNormal() | Orthogonal():
            gain = "" if init.gain == 1 else f", gain={init.gain!r}"
            return f"nn.init.{init.name}_({matrix}{gain})"
    raise ValueError(f"{init.name} has no form in torch")
