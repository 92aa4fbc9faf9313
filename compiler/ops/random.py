"""Draws of random numbers, and dropout.

A draw's sizes come first: `normal(N, 64)`. Printed NumPy calls draw from `generator`, a `numpy.random.Generator`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from compiler.ir.dims import Dim, at_least
from compiler.ir.op import ATOM, COMPARISON, PRODUCT, SUM, Code, Lowering, Op, RuleError, Sample, SampleTensor
from compiler.ir.signature import PositiveFloat, Probability, Variadic
from compiler.ir.types import DType, TensorType
from compiler.ops.arithmetic import number
from compiler.ops.base import infix, register, require_float, require_rank

Sizes = Annotated[tuple[Dim, ...], Variadic()]
SAMPLE_SIZES = (Dim.of(3), Dim.of(1), Dim.of(4))


@dataclass(frozen=True)
class Draw(Op):
    """Abstract: a tensor of the given sizes, new at each evaluation."""

    operands: ClassVar[tuple[str, ...]] = ()
    family: ClassVar[str] = "random"
    random: ClassVar[bool] = True
    dtype: ClassVar[DType] = DType.f32
    shape: Sizes

    def infer(self, *operands: TensorType) -> TensorType:
        for size in self.shape:
            if at_least(size, 1) is False:
                raise RuleError("NL213", f"`{self.name}` is given the size {size}, and sizes start at 1", at="shape")
        return TensorType(self.dtype, self.shape)

    def _sizes(self, at: Lowering) -> str:
        return ", ".join(map(at.dim, self.shape)) if self.shape else "()"


def scaled(draw: str, scale: float, offset: float) -> Code:
    """`offset + scale * draw` without the factor 1 and the term 0."""
    product = Code(draw) if scale == 1 else infix(Code(number(scale)), "*", Code(draw))
    return product if offset == 0 else infix(Code(number(offset), ATOM if offset >= 0 else PRODUCT), "+", product, SUM)


@register
@final
@dataclass(frozen=True)
class Normal(Draw):
    """Gaussian numbers."""

    name: ClassVar[str] = "normal"
    mean: float = 0.0
    std: PositiveFloat = 1.0

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return scaled(f"torch.randn({self._sizes(at)})", self.std, self.mean)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return scaled(f"generator.standard_normal({at.dims(self.shape)}, dtype=np.float32)", self.std, self.mean)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(SAMPLE_SIZES), ())
        yield Sample(cls((Dim.of(5),), mean=-2.0, std=0.5), ())


@register
@final
@dataclass(frozen=True)
class Uniform(Draw):
    """Numbers equally likely anywhere within [low, high)."""

    name: ClassVar[str] = "uniform"
    low: float = 0.0
    high: float = 1.0

    def infer(self, *operands: TensorType) -> TensorType:
        if self.low >= self.high:
            raise RuleError("NL214", f"`uniform` has nothing to draw from {number(self.low)} up to {number(self.high)}", at="low")
        return super().infer(*operands)

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return scaled(f"torch.rand({self._sizes(at)})", self.high - self.low, self.low)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return scaled(f"generator.random({at.dims(self.shape)}, dtype=np.float32)", self.high - self.low, self.low)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(SAMPLE_SIZES), ())
        yield Sample(cls((Dim.of(5), Dim.of(1)), low=-1.0, high=3.0), ())


@register
@final
@dataclass(frozen=True)
class Bernoulli(Draw):
    """Ones with probability p, else zeros, as f32."""

    name: ClassVar[str] = "bernoulli"
    p: Probability = 0.5

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"(torch.rand({self._sizes(at)}) < {number(self.p)}).float()"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        drawn = Code(f"generator.random({at.dims(self.shape)}, dtype=np.float32) < {number(self.p)}", COMPARISON)
        return f"{drawn.tight}.astype(np.float32)"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(SAMPLE_SIZES), ())
        yield Sample(cls((Dim.of(5),), p=0.25), ())


@register
@final
@dataclass(frozen=True)
class Randint(Draw):
    """Integers equally likely from low up to high, which is excluded: `randint(N, high=10)`."""

    name: ClassVar[str] = "randint"
    dtype: ClassVar[DType] = DType.i64
    high: int
    low: int = 0

    def infer(self, *operands: TensorType) -> TensorType:
        if self.low >= self.high:
            raise RuleError("NL214", f"`randint` has nothing to draw from {self.low} up to {self.high}, which is excluded", at="high")
        return super().infer(*operands)

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"torch.randint({self.low}, {self.high}, {at.dims(self.shape)})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"generator.integers({self.low}, {self.high}, {at.dims(self.shape)})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(SAMPLE_SIZES, 10), ())
        yield Sample(cls((Dim.of(5),), 4, low=-3), ())


@register
@final
@dataclass(frozen=True)
class Dropout(Op):
    """While training, each number is 0 with probability p and else divided by 1 - p; in evaluation, x. Srivastava et al. 2014."""

    name: ClassVar[str] = "dropout"
    family: ClassVar[str] = "random"
    random: ClassVar[bool] = True
    p: Probability = 0.5

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        require_float(self.name, x)
        return x

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.Dropout({number(self.p)})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return arguments[0]

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3)),))
        yield Sample(cls(0.1), (SampleTensor((4, 1, 2)),))


@register
@final
@dataclass(frozen=True)
class ChannelDropout(Op):
    """Dropout of whole channels of [N, C, *spatial]. Tompson et al. 2015, arXiv:1411.4280."""

    name: ClassVar[str] = "channel_dropout"
    family: ClassVar[str] = "random"
    random: ClassVar[bool] = True
    p: Probability = 0.5

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        require_rank(self.name, x, (3, 4, 5), meaning="(N, C and 1, 2 or 3 spatial ones)")
        require_float(self.name, x)
        return x

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.Dropout{operands[0].rank - 2}d({number(self.p)})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return arguments[0]

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4, 4)),))
        yield Sample(cls(0.1), (SampleTensor((4, 1, 2)),))
        yield Sample(cls(0.2), (SampleTensor((1, 2, 2, 3, 1)),))
