"""Changing spatial sizes without weights: padding, upsampling, and channels dealt out over space. Layout N, C, spatial."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, final

from compiler.ir.dims import Dim, at_least, divisible
from compiler.ir.op import Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor, emitted
from compiler.ir.signature import NonNegative, Positive, format_constant
from compiler.ir.types import DType, TensorType
from compiler.ops.base import register, require_float, require_rank
from compiler.ops.index_gradients import place
from compiler.ops.windows import TORCH_PAD_MODES, PaddingMode, Size, pad_spatial, require_spatial, shown, spatial_sizes

if TYPE_CHECKING:
    import numpy as np

Sides = NonNegative | tuple[NonNegative | tuple[NonNegative, NonNegative], ...]
UpsampleMode = Literal["nearest", "linear", "bilinear", "trilinear"]


@register
@final
@dataclass(frozen=True)
class Pad(Op):
    """`x` with a border. `pads` is one number for every side of the spatial dimensions, or lists the last dimensions.

    An entry of the list is one number for both sides or two: `pad([[2, 0]])` puts two steps before each sequence of [N, C, T].
    `mode` says what the border holds; `value` is that of `mode=zeros`. `reflect` needs more numbers than it adds.
    """

    name: ClassVar[str] = "pad"
    family: ClassVar[str] = "resize"
    pads: Sides
    mode: PaddingMode = "zeros"
    value: float = 0.0

    def sides(self, x: TensorType) -> tuple[tuple[int, int], ...]:
        """Before and after for each of the last dimensions."""
        if isinstance(self.pads, int):
            return ((self.pads, self.pads),) * require_spatial(self.name, x)
        if len(self.pads) > x.rank:
            raise RuleError("NL208", f"`pads` of `{self.name}` lists {len(self.pads)} dimensions, but `{{x}}` is {x}", at="pads")
        return tuple((side, side) if isinstance(side, int) else side for side in self.pads)

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        sides = self.sides(x)
        first = x.rank - len(sides)
        if self.mode != "zeros":
            self._check_mode(x, sides)
        padded = (size + before + after for size, (before, after) in zip(x.shape[first:], sides, strict=True))
        return TensorType(x.dtype, (*x.shape[:first], *padded))

    def _check_mode(self, x: TensorType, sides: tuple[tuple[int, int], ...]) -> None:
        require_float(self.name, x)
        if len(sides) != require_spatial(self.name, x):
            raise RuleError(
                "NL208",
                f"`mode={self.mode}` pads all {x.rank - 2} spatial dimensions of `{{x}}`, but `pads` lists {len(sides)}",
                at="pads",
                help="write 0 for a dimension that stays",
            )
        margin = {"reflect": 1, "circular": 0}.get(self.mode)
        for size, pair in zip(x.shape[2:], sides, strict=True):
            if margin is not None and at_least(size - margin, max(pair)) is False:
                raise RuleError(
                    "NL225",
                    f"`{self.mode}` padding of {max(pair)} needs a size of at least {max(pair) + margin}, but `{{x}}` is {x}",
                    at="pads",
                    help="pad less, or with `mode=zeros` or `mode=replicate`",
                )

    def derivatives(self, *operands: TensorType) -> Derivative:
        (x,) = operands
        sides = self.sides(x)
        if self.mode != "zeros":
            return {"x": f"pad_gradient(g, {format_constant(sides)}, mode=mode)"}
        inner = [f"{before or ''}:{-after if after else ''}" for before, after in sides]
        return {"x": f"g[{', '.join(['...', *inner])}]"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        sides = [side for pair in reversed(self.sides(at.operand_types[0])) for side in pair]
        value = f", value={self._value(at)}" * (self.value != 0)
        return f"F.pad({arguments[0]}, {sides}{value or TORCH_PAD_MODES[self.mode]})"

    def _value(self, at: Lowering) -> str:
        if at.result.dtype.is_float:
            return repr(self.value) if math.isfinite(self.value) else f"float({str(self.value)!r})"
        return repr(self.value != 0 if at.result.dtype is DType.bool else int(self.value))

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        sides = self.sides(at.operand_types[0])
        if self.mode != "zeros":
            return f"{at.use(pad_spatial)}({arguments[0]}, {sides}, {self.mode!r})"
        widths = ((0, 0),) * (at.operand_types[0].rank - len(sides)) + sides
        value = f", constant_values={self._value(at)}" * (self.value != 0)
        return f"np.pad({arguments[0]}, {widths}{value})"

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        if self.mode != "zeros" or self.value != 0:
            return None
        x = at.operand_types[0]
        sides = ((0, 0),) * (x.rank - len(self.sides(x))) + self.sides(x)
        places = [f"{before}:{at.dim(size + before)}" for size, (before, _) in zip(x.shape, sides, strict=True)]
        return f"{at.use(place)}({arguments[0]}, {at.dims(at.result.shape)}, np.s_[{', '.join(places)}], out={out})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(1), (SampleTensor((2, 3, 4, 5)),))
        yield Sample(cls(((2, 0),)), (SampleTensor((2, 3, 5)),))
        yield Sample(cls((1, (0, 2)), value=-1.5), (SampleTensor((2, 1, 3)),))
        yield Sample(cls((3, (2, 1)), mode="reflect"), (SampleTensor((1, 2, 4, 5)),))
        yield Sample(cls(2, mode="replicate"), (SampleTensor((1, 2, 1, 3)),))
        yield Sample(cls((1, 2, (0, 1)), mode="circular"), (SampleTensor((1, 2, 2, 3, 4)),))
        yield Sample(cls((1,), value=7.0), (SampleTensor((4,), DType.i64, -5, 5),))


@emitted
def nearest_places(length: int, n: int) -> np.ndarray:
    """Which of `length` numbers each of n places shows: floor(i length / n), rounded in float32 as torch does."""
    places = np.arange(n, dtype=np.float32) * np.float32(length / n)
    result: np.ndarray = np.minimum(places.astype(np.int64), length - 1)
    return result


@emitted
def upsample_nearest(x: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """`x` [N, C, *spatial] at `size`."""
    for axis, n in enumerate(size, 2):
        length = x.shape[axis]
        if n % length == 0:
            x = x.repeat(n // length, axis) if n != length else x
        else:
            x = x.take(nearest_places(length, n), axis)
    return x


@emitted
def linear_places(length: int, n: int, align_corners: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Between which two of `length` numbers each of n places lies, and the share of the second.

    Pixels are squares whose outer edges match, or, with `align_corners`, points of which the outermost match.
    """
    if align_corners:
        places = np.arange(n) * ((length - 1) / max(n - 1, 1))
    else:
        places = np.maximum((np.arange(n) + 0.5) * (length / n) - 0.5, 0)
    low = np.minimum(places.astype(np.int64), length - 1)
    return low, np.minimum(low + 1, length - 1), places - low


@emitted
def upsample_linear(x: np.ndarray, size: tuple[int, ...], align_corners: bool) -> np.ndarray:
    """`x` [N, C, *spatial] at `size`, each dimension in turn interpolated between neighbours."""
    for axis, n in enumerate(size, 2):
        low, high, second = linear_places(x.shape[axis], n, align_corners)
        share = second.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 1 - axis))
        left = x.take(low, axis)
        x = left + (x.take(high, axis) - left) * share
    return x


@register
@final
@dataclass(frozen=True)
class Upsample(Op):
    """[N, C, *spatial] with `scale` times as many places along each spatial dimension, or with `size` places.

    `nearest` repeats numbers; `linear` (also under the names `bilinear` and `trilinear`) interpolates; `align_corners` puts the
    first and last number on the first and last place. Numbers are PyTorch's.
    """

    name: ClassVar[str] = "upsample"
    family: ClassVar[str] = "resize"
    scale: Size | None = None
    size: Size | None = None
    mode: UpsampleMode = "nearest"
    align_corners: bool = False

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        rank = require_spatial(self.name, x)
        require_float(self.name, x)
        if (self.scale is None) == (self.size is None):
            both = "both" if self.scale is not None else "neither"
            raise RuleError("NL227", f"`{self.name}` takes `scale` or `size`, and {both} is given", help=f"for example `{self.name}(2)`")
        if self.mode in ("bilinear", "trilinear") and rank != ("linear", "bilinear", "trilinear").index(self.mode) + 1:
            raise RuleError(
                "NL227",
                f"`mode={self.mode}` is not for {rank} spatial dimension{'s' * (rank > 1)}, which `{{x}}` has: {x}",
                at="mode",
                help="`mode=linear` serves any number of them",
            )
        if self.align_corners and self.mode == "nearest":
            raise RuleError("NL227", "`align_corners` says how to interpolate, which `mode=nearest` does not", at="align_corners")
        return TensorType(x.dtype, (*x.shape[:2], *self._result(x)))

    def _result(self, x: TensorType) -> tuple[Dim, ...]:
        if self.size is not None:
            return tuple(map(Dim.of, spatial_sizes(self.name, "size", self.size, x.rank - 2)))
        scale = spatial_sizes(self.name, "scale", self.scale or 1, x.rank - 2)
        return tuple(size * factor for size, factor in zip(x.shape[2:], scale, strict=True))

    def given(self, x: TensorType) -> str:
        attribute = "scale" if self.size is None else "size"
        value = spatial_sizes(self.name, attribute, self.size or self.scale or 1, x.rank - 2)
        mode = "" if self.mode == "nearest" else f", mode={('linear', 'bilinear', 'trilinear')[x.rank - 3]!r}"
        keyword = {"scale": "scale_factor", "size": "size"}[attribute]
        return f"{keyword}={shown(value)}{mode}" + ", align_corners=True" * self.align_corners

    def attributes(self) -> str:
        """All attributes as text of the language."""
        given = {"scale": self.scale, "size": self.size, "mode": self.mode, "align_corners": self.align_corners}
        return ", ".join(f"{name}={format_constant(value)}" for name, value in given.items() if value is not None)

    def derivatives(self, *operands: TensorType) -> Derivative:
        return {"x": f"upsample_gradient(g, {format_constant(operands[0].shape[2:])}, {self.attributes()})"}

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.Upsample({self.given(operands[0])})"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.interpolate({arguments[0]}, {self.given(at.operand_types[0])})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        size = at.dims(at.result.shape[2:])
        if self.mode == "nearest":
            return f"{at.use(upsample_nearest)}({arguments[0]}, {size})"
        return f"{at.use(upsample_linear)}({arguments[0]}, {size}, align_corners={self.align_corners})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(2), (SampleTensor((2, 3, 3, 4)),))
        yield Sample(cls((1, 3)), (SampleTensor((1, 2, 2, 5)),))
        yield Sample(cls(size=(7, 3)), (SampleTensor((1, 2, 5, 4)),))
        yield Sample(cls(2, mode="linear"), (SampleTensor((2, 3, 5)),))
        yield Sample(cls(2, mode="bilinear"), (SampleTensor((1, 2, 4, 3)),))
        yield Sample(cls(3, mode="bilinear", align_corners=True), (SampleTensor((1, 2, 4, 1)),))
        yield Sample(cls(size=(3, 7), mode="bilinear"), (SampleTensor((1, 2, 5, 4)),))
        yield Sample(cls(size=(1, 7), mode="linear", align_corners=True), (SampleTensor((1, 2, 5, 4)),))
        yield Sample(cls(2, mode="trilinear"), (SampleTensor((1, 1, 2, 3, 2)),))
        yield Sample(cls(size=3), (SampleTensor((1, 2, 7)),))


@emitted
def shuffle_pixels(x: np.ndarray, r: int) -> np.ndarray:
    """[N, C r², H, W] as [N, C, H r, W r]: channel c r² + i r + j goes to row h r + i and column w r + j of channel c."""
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, channels // r**2, r, r, height, width)
    return parts.transpose(0, 1, 4, 2, 5, 3).reshape(batch, channels // r**2, height * r, width * r)


@emitted
def unshuffle_pixels(x: np.ndarray, r: int) -> np.ndarray:
    """[N, C, H r, W r] as [N, C r², H, W]: row h r + i and column w r + j of channel c go to channel c r² + i r + j."""
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, channels, height // r, r, width // r, r)
    return parts.transpose(0, 1, 3, 5, 2, 4).reshape(batch, channels * r**2, height // r, width // r)


def _require_image(name: str, x: TensorType) -> None:
    require_rank(name, x, (4,), meaning="(N, C, H, W)")


def _require_divisible(name: str, x: TensorType, axis: int, by: int, what: str) -> None:
    fits = divisible(x.shape[axis], by)
    if fits is not True:
        raise RuleError(
            "NL209" if fits is False else "NL204",
            f"`{name}` {what}, but axis {axis} of `{{x}}` is `{x.shape[axis]}` in {x}",
            at="x",
            labels={"x": str(x)},
            help=None if fits is False else f"declare the size as a multiple, such as `{by}*K`",
        )


@register
@final
@dataclass(frozen=True)
class PixelShuffle(Op):
    """[N, C r², H, W] as [N, C, H r, W r]: out[c, h r + i, w r + j] = in[c r² + i r + j, h, w]. Shi et al. 2016, arXiv:1609.05158."""

    name: ClassVar[str] = "pixel_shuffle"
    derivative: ClassVar[Derivative] = {"x": "pixel_unshuffle(g, factor)"}
    family: ClassVar[str] = "resize"
    factor: Positive

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        _require_image(self.name, x)
        _require_divisible(self.name, x, 1, self.factor**2, f"takes a multiple of {self.factor**2} channels")
        batch, channels, height, width = x.shape
        return TensorType(x.dtype, (batch, channels // self.factor**2, height * self.factor, width * self.factor))

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.PixelShuffle({self.factor})"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.pixel_shuffle({arguments[0]}, {self.factor})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(shuffle_pixels)}({arguments[0]}, {self.factor})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(2), (SampleTensor((2, 8, 3, 4)),))
        yield Sample(cls(3), (SampleTensor((1, 9, 1, 2)),))
        yield Sample(cls(1), (SampleTensor((1, 2, 3, 3)),))


@register
@final
@dataclass(frozen=True)
class PixelUnshuffle(Op):
    """[N, C, H r, W r] as [N, C r², H, W]; undoes `pixel_shuffle`."""

    name: ClassVar[str] = "pixel_unshuffle"
    derivative: ClassVar[Derivative] = {"x": "pixel_shuffle(g, factor)"}
    family: ClassVar[str] = "resize"
    factor: Positive

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        _require_image(self.name, x)
        for axis in (2, 3):
            _require_divisible(self.name, x, axis, self.factor, f"takes heights and widths that are multiples of {self.factor}")
        batch, channels, height, width = x.shape
        return TensorType(x.dtype, (batch, channels * self.factor**2, height // self.factor, width // self.factor))

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.PixelUnshuffle({self.factor})"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.pixel_unshuffle({arguments[0]}, {self.factor})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(unshuffle_pixels)}({arguments[0]}, {self.factor})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(2), (SampleTensor((2, 3, 4, 6)),))
        yield Sample(cls(3), (SampleTensor((1, 1, 3, 6)),))
