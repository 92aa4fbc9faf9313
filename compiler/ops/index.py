"""Parts of a tensor by position: `x[:, 0, ..., ::2]`, looking numbers up by other numbers, one-hot vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias, final

from compiler.ir.dims import Dim, at_least, compare
from compiler.ir.op import Batching, Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor
from compiler.ir.signature import Positive, format_constant
from compiler.ir.types import DType, TensorType
from compiler.ops.base import normal_axis, register, require_rank, shift_axis

Number: TypeAlias = int | Dim
Slice: TypeAlias = tuple[Number | None, Number | None, Number | None]
Item: TypeAlias = Number | Slice | str


@register
@final
@dataclass(frozen=True)
class Index(Op):
    """`x[...]` as in NumPy: each item is a position (its axis goes), a slice `start:stop:step`, or `...` for all axes in between.

    Negative numbers count from the end. Steps are positive; `flip` reverses. Where a slice's bounds depend on symbols, they
    must be proved to lie within the axis, or its size could not be told.
    """

    name: ClassVar[str] = "index"
    family: ClassVar[str] = "index"
    items: tuple[Item, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        shape: list[Dim] = []
        for axis, item in enumerate(self.spread(x)):
            if isinstance(item, tuple):
                shape.append(_slice_length(x, axis, item))
            else:
                assert isinstance(item, int | Dim)
                _check_position(x, axis, Dim.of(item))
        return TensorType(x.dtype, tuple(shape))

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, items=((None, None, None), *self.items))

    def spread(self, x: TensorType) -> list[Item]:
        """One item for every axis of `x`."""
        given = sum(item != "..." for item in self.items)
        if len(self.items) - given > 1:
            raise RuleError("NL223", "an index holds `...` once at most")
        if given > x.rank:
            raise RuleError("NL223", f"`{{x}}` is {x}: it has {x.rank} axes, but the index names {given}", at="x", labels={"x": str(x)})
        whole: list[Item] = [(None, None, None)] * (x.rank - given)
        at = self.items.index("...") if len(self.items) > given else given
        return [*self.items[:at], *whole, *self.items[at + 1 :]]

    def derivatives(self, *operands: TensorType) -> Derivative:
        return {"x": f"index_gradient(g, items=items, sizes={format_constant(operands[0].shape)})"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}[{items_text(at.dim, self.items)}]"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return self.torch(at, *arguments)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        whole: Slice = (None, None, None)
        yield Sample(cls((whole, 0)), (SampleTensor((2, 3, 4)),))
        yield Sample(cls((whole, -1, "...", (None, None, 2))), (SampleTensor((2, 3, 4, 5)),))
        yield Sample(cls(((1, -1, None), (0, 3, 2))), (SampleTensor((4, 5)),))
        yield Sample(cls(("...", (-2, None, None))), (SampleTensor((2, 1, 3)),))
        yield Sample(cls(((None, 9, 3),)), (SampleTensor((5, 2)),))
        yield Sample(cls((1, 2)), (SampleTensor((2, 3)),))


def _check_position(x: TensorType, axis: int, position: Dim) -> None:
    size = x.shape[axis]
    if at_least(position, 0) is False:
        inside = at_least(position + size, 0)
    else:
        inside = at_least(size - 1, position)
    if inside is False:
        raise RuleError("NL223", f"there is no {position} along axis {axis} of `{{x}}`, which is {x}", at="x", labels={"x": str(x)})


def _bound(x: TensorType, axis: int, bound: Number, stop: bool) -> Dim:
    """A slice's bound counted from the front and clipped to the axis."""
    size, place = x.shape[axis], Dim.of(bound)
    counts_from_front = at_least(place, 0)
    if counts_from_front is False:
        place = size + place
    low, high = at_least(place, 0), at_least(size, place)
    if counts_from_front is None or (low is None and high is not False) or (high is None and low is not False):
        raise RuleError(
            "NL204",
            f"a slice's {'end' if stop else 'start'} `{bound}` is not proved to lie within axis {axis} of `{{x}}`, `{size}` in {x}",
            at="x",
            labels={"x": str(x)},
            help="give the size a number, or write it as a sum, such as `T + 2`",
        )
    return Dim.of(0) if low is False else size if high is False else place


def _slice_length(x: TensorType, axis: int, item: Slice) -> Dim:
    start = Dim.of(0) if item[0] is None else _bound(x, axis, item[0], stop=False)
    stop = x.shape[axis] if item[1] is None else _bound(x, axis, item[1], stop=True)
    step = Dim.of(1 if item[2] is None else item[2])
    if step.constant is None or step.constant < 1:
        raise RuleError("NL224", f"the step of a slice is a positive number, but it is `{step}`", help="`flip` reverses an axis")
    if at_least(stop - start, 1) is False:
        text = ":".join("" if number is None else str(number) for number in item[:2])
        raise RuleError("NL223", f"`{text}` takes nothing from axis {axis} of `{{x}}`, which is {x}", at="x", labels={"x": str(x)})
    return (stop - start + (step - 1)) // step


def items_text(dim: Callable[[Dim], str], items: tuple[Item, ...]) -> str:
    """What stands between the brackets, with sizes as `dim` writes them."""
    return ", ".join(_item_text(dim, item) for item in items)


def _item_text(dim: Callable[[Dim], str], item: Item) -> str:
    if isinstance(item, str):
        return item
    if not isinstance(item, tuple):
        return dim(Dim.of(item))
    start, stop, step = ("" if number is None else dim(Dim.of(number)) for number in item)
    return f"{start}:{stop}" + f":{step}" * (step not in ("", "1"))


def require_index(name: str, type: TensorType, operand: str) -> None:
    """Refuse an operand that does not hold integers that can index."""
    if type.dtype is not DType.i64:
        raise RuleError(
            "NL210",
            f"`{name}` takes i64 positions, but `{{{operand}}}` is {type}",
            at=operand,
            help=f"convert them: `cast({{{operand}}}, i64)`",
        )


@register
@final
@dataclass(frozen=True)
class Take(Op):
    """The slices of `x` along `axis` at the positions in `index`, whatever its shape: x[index] for axis 0."""

    name: ClassVar[str] = "take"
    operands: ClassVar[tuple[str, ...]] = ("x", "index")
    family: ClassVar[str] = "index"
    axis: int = 0

    def infer(self, *operands: TensorType) -> TensorType:
        x, index = operands
        require_index(self.name, index, "index")
        axis = normal_axis(self.name, self.axis, x.rank)
        return TensorType(x.dtype, (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))

    def batched(self, at: Batching, moved: tuple[bool, ...], *operands: Any) -> Any:
        """Rows of one table looked up by each example, or the same places in every example's table."""
        if moved == (False, True):
            return at.apply(self, *operands) if self.axis in (0, -operands[0].type.rank) else None
        return at.apply(replace(self, axis=shift_axis(self.axis)), *operands) if moved == (True, False) else None

    def derivatives(self, *operands: TensorType) -> Derivative:
        x, _ = operands
        axis = self.axis % x.rank
        return {"x": f"take_gradient(g, index, axis={axis}, count={x.shape[axis]})", "index": None}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        x, index = arguments
        return f"{x.tight}[{':, ' * (self.axis % at.operand_types[0].rank)}{index}]"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return self.torch(at, *arguments)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((4, 3)), SampleTensor((2, 5), DType.i64, 0, 4)))
        yield Sample(cls(axis=1), (SampleTensor((2, 5, 3)), SampleTensor((4,), DType.i64, 0, 5)))
        yield Sample(cls(axis=-1), (SampleTensor((2, 3, 4)), SampleTensor((1, 2), DType.i64, 0, 4)))


@register
@final
@dataclass(frozen=True)
class Gather(Op):
    """For each place of `index` the number of `x` there, but at the position along `axis` that `index` holds.

    `gather(log_p, label -> unsqueeze(1); axis=1)` picks one number from each row. All sizes but that of the axis are equal.
    """

    name: ClassVar[str] = "gather"
    operands: ClassVar[tuple[str, ...]] = ("x", "index")
    family: ClassVar[str] = "index"
    axis: int = 1

    def infer(self, *operands: TensorType) -> TensorType:
        x, index = operands
        require_index(self.name, index, "index")
        axis = normal_axis(self.name, self.axis, x.rank)
        require_rank(self.name, index, (x.rank,), "index", "(as many as `{x}`)")
        for i, (a, b) in enumerate(zip(x.shape, index.shape, strict=True)):
            equal = True if i == axis else compare(a, b)
            if equal is not True:
                raise RuleError(
                    "NL203" if equal is False else "NL204",
                    f"`{self.name}` needs equal sizes except along axis {axis}: `{{x}}` is {x} and `{{index}}` is {index}",
                    at="index",
                    labels={"x": str(x), "index": str(index)},
                )
        return TensorType(x.dtype, index.shape)

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, axis=shift_axis(self.axis))

    def derivatives(self, *operands: TensorType) -> Derivative:
        return {"x": f"gather_gradient(g, index, axis=axis, count={operands[0].shape[self.axis]})", "index": None}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        x, index = arguments
        return f"{x.tight}.gather({self.axis}, {index})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"np.take_along_axis({', '.join(arguments)}, {self.axis})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((4, 3)), SampleTensor((4, 1), DType.i64, 0, 3)))
        yield Sample(cls(axis=0), (SampleTensor((4, 3)), SampleTensor((6, 3), DType.i64, 0, 4)))
        yield Sample(cls(axis=-1), (SampleTensor((2, 3, 4)), SampleTensor((2, 3, 2), DType.i64, 0, 4)))


@register
@final
@dataclass(frozen=True)
class OneHot(Op):
    """For each integer a row of `classes` numbers, 1 at its place and 0 elsewhere: i64[N] becomes f32[N, classes]."""

    name: ClassVar[str] = "one_hot"
    derivative: ClassVar[Derivative] = {"x": None}
    family: ClassVar[str] = "index"
    classes: Positive

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        require_index(self.name, x, "x")
        return TensorType(DType.f32, (*x.shape, Dim.of(self.classes)))

    def shifted(self, *operands: TensorType) -> Op | None:
        return self

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.one_hot({arguments[0]}, {self.classes}).float()"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"np.eye({self.classes}, dtype=np.float32)[{arguments[0]}]"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(5), (SampleTensor((4,), DType.i64, 0, 5),))
        yield Sample(cls(3), (SampleTensor((2, 3), DType.i64, 0, 3),))
        yield Sample(cls(1), (SampleTensor((), DType.i64, 0, 1),))
