"""Draws of random numbers, and dropout.

A draw's sizes come first: `normal(N, 64)`. Printed NumPy calls draw from `generator`, a `numpy.random.Generator`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from compiler.ir.dims import Dim, at_least
from compiler.ir.op import ATOM, COMPARISON, PRODUCT, SUM, Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor
from compiler.ir.signature import PositiveFloat, Probability, Variadic
from compiler.ir.types import DType, TensorType
from compiler.ops.arithmetic import number
from compiler.ops.base import infix, register, require_float, require_rank
from compiler.ops.elementwise import TORCH_CASTS

Sizes = Annotated[tuple[Dim, ...], Variadic()]
SAMPLE_SIZES = (Dim.of(3), Dim.of(1), Dim.of(4))


@dataclass(frozen=True)
class Draw(Op):
    """Abstract: a tensor of the given sizes, new at each evaluation."""

    operands: ClassVar[tuple[str, ...]] = ()
    family: ClassVar[str] = "random"
    random: ClassVar[bool] = True
    shape: Sizes

    @property
    @abstractmethod
    def drawn(self) -> DType:
        """The element type of the numbers."""

    def infer(self, *operands: TensorType) -> TensorType:
        for size in self.shape:
            if at_least(size, 1) is False:
                raise RuleError("NL213", f"`{self.name}` is given the size {size}, and sizes start at 1", at="shape")
        return TensorType(self.drawn, self.shape)

    def _sizes(self, at: Lowering) -> str:
        return ", ".join(map(at.dim, self.shape)) if self.shape else "()"


class FloatDraw(Draw):
    """Abstract: a draw of floating-point numbers; its last attribute is `dtype`."""

    dtype: DType

    @property
    def drawn(self) -> DType:
        return self.dtype

    def infer(self, *operands: TensorType) -> TensorType:
        if not self.dtype.is_float:
            raise RuleError("NL210", f"`{self.name}` draws floating-point numbers, not {self.dtype}", at="dtype")
        return super().infer(*operands)

    def _torch_draw(self, at: Lowering, function: str) -> str:
        dtype = "" if self.dtype is DType.f32 else f", dtype=torch.{self.dtype.torch_name}"
        return f"torch.{function}({self._sizes(at)}{dtype})"

    def _numpy_draw(self, at: Lowering, function: str) -> str:
        """NumPy draws f32 and f64; other types are converted."""
        drawn = DType.f64 if self.dtype is DType.f64 else DType.f32
        text = f"generator.{function}({at.dims(self.shape)}, dtype=np.{drawn.numpy_name})"
        return text if self.dtype is drawn else f"{text}.astype(np.{self.dtype.numpy_name})"


def scaled(draw: str, scale: float, offset: float) -> Code:
    """`offset + scale * draw` without the factor 1 and the term 0."""
    product = Code(draw) if scale == 1 else infix(Code(number(scale)), "*", Code(draw))
    return product if offset == 0 else infix(Code(number(offset), ATOM if offset >= 0 else PRODUCT), "+", product, SUM)


@register
@final
@dataclass(frozen=True)
class Normal(FloatDraw):
    """Gaussian numbers."""

    name: ClassVar[str] = "normal"
    mean: float = 0.0
    std: PositiveFloat = 1.0
    dtype: DType = DType.f32

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return scaled(self._torch_draw(at, "randn"), self.std, self.mean)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return scaled(self._numpy_draw(at, "standard_normal"), self.std, self.mean)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(SAMPLE_SIZES), ())
        yield Sample(cls((Dim.of(5),), mean=-2.0, std=0.5), ())
        yield Sample(cls((Dim.of(5),), dtype=DType.f64), ())


@register
@final
@dataclass(frozen=True)
class Uniform(FloatDraw):
    """Numbers equally likely anywhere within [low, high)."""

    name: ClassVar[str] = "uniform"
    low: float = 0.0
    high: float = 1.0
    dtype: DType = DType.f32

    def infer(self, *operands: TensorType) -> TensorType:
        if self.low >= self.high:
            raise RuleError("NL214", f"`uniform` has nothing to draw from {number(self.low)} up to {number(self.high)}", at="low")
        return super().infer(*operands)

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return scaled(self._torch_draw(at, "rand"), self.high - self.low, self.low)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return scaled(self._numpy_draw(at, "random"), self.high - self.low, self.low)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(SAMPLE_SIZES), ())
        yield Sample(cls((Dim.of(5), Dim.of(1)), low=-1.0, high=3.0), ())
        yield Sample(cls((Dim.of(5),), dtype=DType.f16), ())


@register
@final
@dataclass(frozen=True)
class Bernoulli(FloatDraw):
    """Ones with probability p, else zeros."""

    name: ClassVar[str] = "bernoulli"
    p: Probability = 0.5
    dtype: DType = DType.f32

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"(torch.rand({self._sizes(at)}) < {number(self.p)}).{TORCH_CASTS[self.dtype]}()"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        drawn = Code(f"generator.random({at.dims(self.shape)}, dtype=np.float32) < {number(self.p)}", COMPARISON)
        return f"{drawn.tight}.astype(np.{self.dtype.numpy_name})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(SAMPLE_SIZES), ())
        yield Sample(cls((Dim.of(5),), p=0.25), ())
        yield Sample(cls((Dim.of(5),), dtype=DType.f64), ())


@register
@final
@dataclass(frozen=True)
class Randint(Draw):
    """Integers equally likely from low up to high, which is excluded: `randint(N, high=10)`."""

    name: ClassVar[str] = "randint"
    high: int
    low: int = 0

    @property
    def drawn(self) -> DType:
        return DType.i64

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


def dropped(x: TensorType, sizes: tuple[Dim, ...], p: float) -> str:
    """Text of `x` times a mask of these sizes, each 0 with probability p and else 1 / (1 - p)."""
    if p in (0, 1):
        return "x" if p == 0 else "0 * x"
    mask = f"bernoulli([{', '.join(map(str, sizes))}], p={1 - p!r}, dtype={x.dtype})"
    return f"x * ({mask} / {1 - p!r})"


@register
@final
@dataclass(frozen=True)
class Dropout(Op):
    """While training, each number is 0 with probability p and else divided by 1 - p; in evaluation, x. Srivastava et al. 2014."""

    name: ClassVar[str] = "dropout"
    derivative: ClassVar[Derivative] = {"x": "g"}
    family: ClassVar[str] = "random"
    random: ClassVar[bool] = True
    p: Probability = 0.5

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        require_float(self.name, x)
        return x

    def training(self, *operands: TensorType) -> str | None:
        (x,) = operands
        return dropped(x, x.shape, self.p)

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
    derivative: ClassVar[Derivative] = {"x": "g"}
    family: ClassVar[str] = "random"
    random: ClassVar[bool] = True
    p: Probability = 0.5

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        require_rank(self.name, x, (3, 4, 5), meaning="(N, C and 1, 2 or 3 spatial ones)")
        require_float(self.name, x)
        return x

    def training(self, *operands: TensorType) -> str | None:
        (x,) = operands
        return dropped(x, (*x.shape[:2], *[Dim.of(1)] * (x.rank - 2)), self.p)

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.Dropout{operands[0].rank - 2}d({number(self.p)})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return arguments[0]

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4, 4)),))
        yield Sample(cls(0.1), (SampleTensor((4, 1, 2)),))
        yield Sample(cls(0.2), (SampleTensor((1, 2, 2, 3, 1)),))
