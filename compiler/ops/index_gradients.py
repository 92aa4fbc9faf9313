"""Adjoints of taking parts and of looking up: numbers put, or added, where they were taken from. All else is zero."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from compiler.ir.dims import Dim, compare
from compiler.ir.op import Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor, emitted
from compiler.ir.types import DType, TensorType
from compiler.ops.base import normal_axis, register, require_rank
from compiler.ops.index import Index, Item, items_text, require_index

if TYPE_CHECKING:
    import numpy as np


@emitted
def place(y: np.ndarray, sizes: tuple[int, ...], items: tuple[object, ...], out: np.ndarray | None = None) -> np.ndarray:
    """Zeros of these sizes with `y` at the part that `items` index."""
    result: np.ndarray = np.empty(sizes, y.dtype) if out is None else out
    result.fill(0)
    result[items] = y  # type: ignore[index]
    return result


@emitted
def add_at(y: np.ndarray, index: np.ndarray, axis: int, count: int) -> np.ndarray:
    """Zeros, `count` along `axis`, to which the slices of `y` are added at the positions in `index`, which may repeat.

    Into few places it is one product with one-hot rows; else numbers are counted into bins, one for each place that occurs.
    """
    lead, tail = y.shape[:axis], y.shape[axis + index.ndim :]
    rows = np.moveaxis(y.reshape(*lead, index.size, *tail), axis, 0).reshape(index.size, -1)
    places, bins = index.reshape(-1) % count, count
    found = None
    if count > index.size:
        found, places = np.unique(places, return_inverse=True)
        bins = found.size
    if bins <= 256 and bins * index.size <= 2**22:
        chosen = np.zeros((bins, index.size), y.dtype)
        chosen[places, np.arange(index.size)] = 1
        total = chosen @ rows
    else:
        width = rows.shape[1]
        flat = (places[:, None] * width + np.arange(width)).reshape(-1)
        total = np.bincount(flat, rows.reshape(-1), bins * width).reshape(bins, width).astype(y.dtype)
    if found is not None:
        result = np.zeros((count, total.shape[1]), y.dtype)
        result[found] = total
        total = result
    return np.ascontiguousarray(np.moveaxis(total.reshape(count, *lead, *tail), 0, axis))


@emitted
def add_along_axis(y: np.ndarray, index: np.ndarray, axis: int, count: int) -> np.ndarray:
    """Zeros, `count` along `axis`, to which each number of `y` is added at the position that `index` holds in its place."""
    axis %= y.ndim
    shape = (*y.shape[:axis], count, *y.shape[axis + 1 :])
    if index.shape[axis] == 1:
        result = np.zeros(shape, y.dtype)
        np.put_along_axis(result, index, y, axis)
        return result
    rows, places = np.moveaxis(y, axis, -1), np.moveaxis(index, axis, -1) % count
    lines = math.prod(rows.shape[:-1])
    flat = places.reshape(lines, -1) + np.arange(lines)[:, None] * count
    total = np.bincount(flat.reshape(-1), rows.reshape(-1), lines * count).astype(y.dtype)
    return np.ascontiguousarray(np.moveaxis(total.reshape(*rows.shape[:-1], count), -1, axis))


class Placement(Op):
    """Abstract: zeros with numbers in some places."""

    family: ClassVar[str] = "gradient"
    internal: ClassVar[bool] = True


@register
@final
@dataclass(frozen=True)
class IndexGradient(Placement):
    """Zeros of the given sizes with `y` at the part `[items]`: the adjoint of `index`."""

    name: ClassVar[str] = "index_gradient"
    operands: ClassVar[tuple[str, ...]] = ("y",)
    derivative: ClassVar[Derivative] = {"y": "index(g, items=items)"}
    items: tuple[Item, ...]
    sizes: tuple[Dim, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        (y,) = operands
        x = TensorType(y.dtype, self.sizes)
        part = Index(self.items).infer(x)
        fits = [compare(a, b) for a, b in zip(part.shape, y.shape, strict=False)]
        if part.rank != y.rank or False in fits:
            raise RuleError("NL203", f"`{{y}}` is {y}, but the part of {x} is {part}", at="y")
        return x

    def torch(self, at: Lowering, *arguments: Code) -> str:
        """Axis after axis, the last first: a tensor that is whole along the axes behind."""
        (y,) = arguments
        x = at.result
        items = Index(self.items).spread(x)
        part = iter(Index(self.items).infer(x).shape)
        taken = [next(part) if isinstance(item, tuple) else None for item in items]
        text = str(y)
        for axis, item in reversed(list(enumerate(items))):
            lead = tuple(size for size in taken[:axis] if size is not None)
            zeros = f"{y.tight}.new_zeros({at.dims((*lead, *x.shape[axis:]))})"
            if not isinstance(item, tuple):
                assert not isinstance(item, str)
                text = f"torch.select_scatter({zeros}, {text}, {len(lead)}, {at.dim(Dim.of(item))})"
            elif item != (None, None, None):
                start, stop, step = ("None" if number is None else at.dim(Dim.of(number)) for number in item)
                text = f"torch.slice_scatter({zeros}, {text}, {len(lead)}, {start}, {stop}, {1 if step == 'None' else step})"
        return text

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(place)}({arguments[0]}, {at.dims(self.sizes)}, np.s_[{items_text(at.dim, self.items)}])"

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return f"{self.numpy(at, *arguments)[:-1]}, out={out})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for sample in Index.samples():
            assert isinstance(sample.op, Index)
            (x,) = sample.operands
            part = sample.op.infer(x.type)
            shape = tuple(size.constant or 0 for size in part.shape)
            yield Sample(cls(sample.op.items, x.type.shape), (SampleTensor(shape),))


@register
@final
@dataclass(frozen=True)
class TakeGradient(Placement):
    """Zeros, `count` along `axis`, to which the slices of `y` are added at the positions in `index`: the adjoint of `take`."""

    name: ClassVar[str] = "take_gradient"
    operands: ClassVar[tuple[str, ...]] = ("y", "index")
    derivative: ClassVar[Derivative] = {"y": "take(g, index, axis=axis)", "index": None}
    axis: int
    count: Dim

    def infer(self, *operands: TensorType) -> TensorType:
        y, index = operands
        require_index(self.name, index, "index")
        axis = normal_axis(self.name, self.axis, y.rank - index.rank + 1)
        return TensorType(y.dtype, (*y.shape[:axis], self.count, *y.shape[axis + index.rank :]))

    def torch(self, at: Lowering, *arguments: Code) -> str:
        y, index = arguments
        shape = list(at.result.shape)
        zeros = f"{y.tight}.new_zeros({at.dims(at.result.shape)})"
        if at.operand_types[1].rank == 1:
            return f"{zeros}.index_add({self.axis}, {index}, {y})"
        shape[self.axis] = Dim.of(-1)
        return f"{zeros}.index_add({self.axis}, {index.tight}.reshape(-1), {y.tight}.reshape({at.dims(tuple(shape))}))"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(add_at)}({', '.join(arguments)}, {self.axis}, {at.dim(self.count)})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(0, Dim.of(4)), (SampleTensor((2, 5, 3)), SampleTensor((2, 5), DType.i64, 0, 4)))
        yield Sample(cls(1, Dim.of(5)), (SampleTensor((2, 4, 3)), SampleTensor((4,), DType.i64, 0, 5)))
        yield Sample(cls(1, Dim.of(9)), (SampleTensor((2, 1, 2, 3)), SampleTensor((1, 2), DType.i64, 0, 9)))
        yield Sample(cls(0, Dim.of(300)), (SampleTensor((400, 2)), SampleTensor((400,), DType.i64, 0, 300)))


@register
@final
@dataclass(frozen=True)
class GatherGradient(Placement):
    """Zeros, `count` along `axis`, to which each number of `y` is added at the position `index` holds: the adjoint of `gather`."""

    name: ClassVar[str] = "gather_gradient"
    operands: ClassVar[tuple[str, ...]] = ("y", "index")
    derivative: ClassVar[Derivative] = {"y": "gather(g, index, axis=axis)", "index": None}
    axis: int
    count: Dim

    def infer(self, *operands: TensorType) -> TensorType:
        y, index = operands
        require_index(self.name, index, "index")
        axis = normal_axis(self.name, self.axis, y.rank)
        require_rank(self.name, index, (y.rank,), "index", "(as many as `{y}`)")
        return TensorType(y.dtype, (*y.shape[:axis], self.count, *y.shape[axis + 1 :]))

    def torch(self, at: Lowering, *arguments: Code) -> str:
        y, index = arguments
        return f"{y.tight}.new_zeros({at.dims(at.result.shape)}).scatter_add({self.axis}, {index}, {y})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(add_along_axis)}({', '.join(arguments)}, {self.axis}, {at.dim(self.count)})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(1, Dim.of(3)), (SampleTensor((4, 1)), SampleTensor((4, 1), DType.i64, 0, 3)))
        yield Sample(cls(0, Dim.of(4)), (SampleTensor((6, 3)), SampleTensor((6, 3), DType.i64, 0, 4)))
        yield Sample(cls(-1, Dim.of(4)), (SampleTensor((2, 3, 5)), SampleTensor((2, 3, 5), DType.i64, 0, 4)))
