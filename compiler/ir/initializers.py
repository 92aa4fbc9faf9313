"""How a parameter's first numbers are drawn: once, from a seeded NumPy generator, for every back end alike.

A record says the distribution; `draw` takes the generator, so this module needs no NumPy. In a spec they are written
`init: {conv.weight: normal(0, 0.02)}`. Fans are PyTorch's: the product of a weight's sizes after the first is its fan in,
the same with the first in place of the second its fan out (torch.nn.init documentation).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, final

from compiler.ir.signature import PositiveFloat


class Initializer(ABC):
    """Abstract: a distribution for a parameter of a given shape."""

    name: ClassVar[str]
    kind: ClassVar[str] = "initializer"

    @abstractmethod
    def draw(self, generator: Any, shape: tuple[int, ...]) -> Any:
        """A float64 array of `shape` from a `numpy.random.Generator`."""


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Fan in and fan out of a weight `[out, in, *kernel]`; a vector counts as `[out, 1]`."""
    kernel = math.prod(shape[2:])
    inputs = shape[1] if len(shape) > 1 else 1
    outputs = shape[0] if shape else 1
    return inputs * kernel, outputs * kernel


@final
@dataclass(frozen=True)
class Constant(Initializer):
    """Every number equal."""

    name = "constant"
    value: float

    def draw(self, generator: Any, shape: tuple[int, ...]) -> Any:
        return generator.uniform(self.value, self.value, shape)


@final
@dataclass(frozen=True)
class Uniform(Initializer):
    """Uniform on [low, high)."""

    name = "uniform"
    low: float
    high: float

    def draw(self, generator: Any, shape: tuple[int, ...]) -> Any:
        return generator.uniform(self.low, self.high, shape)


@final
@dataclass(frozen=True)
class Normal(Initializer):
    """Gaussian."""

    name = "normal"
    mean: float = 0.0
    std: PositiveFloat = 1.0

    def draw(self, generator: Any, shape: tuple[int, ...]) -> Any:
        return generator.normal(self.mean, self.std, shape)


@final
@dataclass(frozen=True)
class FanInUniform(Initializer):
    """Uniform within ±gain / sqrt(fan in); PyTorch's default for linear and convolution layers (gain 1).

    `fan` fixes the fan in where the parameter's own shape does not tell it (a bias).
    """

    name = "fan_in_uniform"
    gain: PositiveFloat = 1.0
    fan: int | None = None

    def draw(self, generator: Any, shape: tuple[int, ...]) -> Any:
        fan = fans(shape)[0] if self.fan is None else self.fan
        bound = self.gain / math.sqrt(fan)
        return generator.uniform(-bound, bound, shape)


@final
@dataclass(frozen=True)
class KaimingNormal(Initializer):
    """Gaussian with std sqrt(2 / fan in). He et al. 2015, arXiv:1502.01852."""

    name = "kaiming_normal"

    def draw(self, generator: Any, shape: tuple[int, ...]) -> Any:
        return generator.normal(0.0, math.sqrt(2 / fans(shape)[0]), shape)


@final
@dataclass(frozen=True)
class XavierUniform(Initializer):
    """Uniform within ±gain sqrt(6 / (fan in + fan out)). Glorot and Bengio 2010."""

    name = "xavier_uniform"
    gain: PositiveFloat = 1.0

    def draw(self, generator: Any, shape: tuple[int, ...]) -> Any:
        bound = self.gain * math.sqrt(6 / sum(fans(shape)))
        return generator.uniform(-bound, bound, shape)


@final
@dataclass(frozen=True)
class XavierNormal(Initializer):
    """Gaussian with std gain sqrt(2 / (fan in + fan out)). Glorot and Bengio 2010."""

    name = "xavier_normal"
    gain: PositiveFloat = 1.0

    def draw(self, generator: Any, shape: tuple[int, ...]) -> Any:
        return generator.normal(0.0, self.gain * math.sqrt(2 / sum(fans(shape))), shape)


@final
@dataclass(frozen=True)
class Zeros(Initializer):
    """All zero."""

    name = "zeros"

    def draw(self, generator: Any, shape: tuple[int, ...]) -> Any:
        return Constant(0.0).draw(generator, shape)


@final
@dataclass(frozen=True)
class Ones(Initializer):
    """All one."""

    name = "ones"

    def draw(self, generator: Any, shape: tuple[int, ...]) -> Any:
        return Constant(1.0).draw(generator, shape)


@final
@dataclass(frozen=True)
class Orthogonal(Initializer):
    """Orthonormal rows or columns, whichever are fewer, times `gain`; axes after the first count as one. Saxe et al. 2013, arXiv:1312.6120.

    The Q of a Gaussian matrix's QR decomposition, with R's diagonal made positive so that every rotation is as likely.
    """

    name = "orthogonal"
    gain: PositiveFloat = 1.0

    def draw(self, generator: Any, shape: tuple[int, ...]) -> Any:
        rows, columns = shape[0] if shape else 1, math.prod(shape[1:])
        flat = generator.normal(0.0, 1.0, (max(rows, columns), min(rows, columns)))
        q, r = flat.__array_namespace__().linalg.qr(flat)
        q = q * (1.0 - 2.0 * (r.diagonal() < 0))
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


INITIALIZERS: dict[str, type[Initializer]] = {
    item.name: item
    for item in (Constant, Uniform, Normal, FanInUniform, KaimingNormal, XavierUniform, XavierNormal, Orthogonal, Zeros, Ones)
}
