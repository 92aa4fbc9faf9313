"""Several tensors as one, and one as several. The operands of a variadic op are called x0, x1, … in messages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from typing import ClassVar, final

from compiler.ir.dims import Dim, at_least, compare, divisible
from compiler.ir.op import Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor
from compiler.ir.signature import Positive
from compiler.ir.types import DType, TensorType, promote
from compiler.ops.base import normal_axis, register, shift_axis
from compiler.ops.shape import ShapeOp, require_size


def _require_operands(name: str, operands: tuple[TensorType, ...]) -> TensorType:
    if not operands:
        raise RuleError("NL221", f"`{name}` needs at least one tensor", help=f"list them: `{name}(a, b)`")
    return operands[0]


def _refuse_mismatch(name: str, operands: tuple[TensorType, ...], index: int, decided: bool, where: str, cure: str | None) -> RuleError:
    first, other = operands[0], operands[index]
    verb, doubt = ("but", "") if decided else ("and", ", and it is not proved to fit")
    return RuleError(
        "NL221" if decided else "NL204",
        f"`{name}` needs equal sizes{where}: `{{x0}}` is {first} {verb} `{{x{index}}}` is {other}{doubt}",
        at=f"x{index}",
        labels={"x0": str(first), f"x{index}": str(other)},
        help=cure if decided else "make the sizes equal by declaring them with the same symbols, or give concrete ones",
    )


@register
@final
@dataclass(frozen=True)
class Concat(ShapeOp):
    """The tensors behind one another along `axis`; all other sizes are equal."""

    name: ClassVar[str] = "concat"
    operands: ClassVar[tuple[str, ...]] = ("*x",)
    axis: int = 1

    def infer(self, *operands: TensorType) -> TensorType:
        first = _require_operands(self.name, operands)
        axis = normal_axis(self.name, self.axis, first.rank)
        for index, other in enumerate(operands[1:], 1):
            if other.rank != first.rank:
                raise _refuse_mismatch(
                    self.name, operands, index, True, f" except along axis {axis}", "give both the same number of dimensions"
                )
            for i, (a, b) in enumerate(zip(first.shape, other.shape, strict=True)):
                equal = True if i == axis else compare(a, b)
                if equal is not True:
                    cure = self._cure(first, other, axis)
                    raise _refuse_mismatch(self.name, operands, index, equal is False, f" except along axis {axis}", cure)
        total = sum((other.shape[axis] for other in operands[1:]), first.shape[axis])
        dtype = reduce(promote, (other.dtype for other in operands))
        return TensorType(dtype, (*first.shape[:axis], total, *first.shape[axis + 1 :]))

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, axis=shift_axis(self.axis))

    def _cure(self, first: TensorType, other: TensorType, axis: int) -> str:
        """The axis along which these two do fit, or the general advice."""
        different = [i for i, (a, b) in enumerate(zip(first.shape, other.shape, strict=True)) if a != b]
        if len(different) == 1 and different[0] != axis:
            return f"they fit along axis {different[0]}: `axis={different[0]}`"
        return "bring them to the same size first: crop, pad or `upsample` one"

    def derivatives(self, *operands: TensorType) -> Derivative:
        axis = normal_axis(self.name, self.axis, operands[0].rank)
        ends = list(itertools.accumulate(item.shape[axis] for item in operands))
        return {
            f"x{index}": f"g[{':, ' * axis}{end - item.shape[axis]}:{end}]"
            for index, (item, end) in enumerate(zip(operands, ends, strict=True))
        }

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"torch.cat([{', '.join(arguments)}], dim={self.axis})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"np.concatenate([{', '.join(arguments)}], axis={self.axis})"

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return f"np.concatenate([{', '.join(arguments)}], axis={self.axis}, out={out})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4)), SampleTensor((2, 1, 4)), SampleTensor((2, 2, 4))))
        yield Sample(cls(axis=-1), (SampleTensor((2, 3)), SampleTensor((2, 5))))
        yield Sample(cls(axis=0), (SampleTensor((3,)),))
        yield Sample(cls(axis=0), (SampleTensor((3,), DType.i32, -5, 5), SampleTensor((2,), DType.i64, -5, 5)))


@register
@final
@dataclass(frozen=True)
class Stack(ShapeOp):
    """Tensors of one shape side by side along a new axis, which `axis` counts in the result."""

    name: ClassVar[str] = "stack"
    operands: ClassVar[tuple[str, ...]] = ("*x",)
    axis: int = 0

    def infer(self, *operands: TensorType) -> TensorType:
        first = _require_operands(self.name, operands)
        axis = normal_axis(self.name, self.axis, first.rank + 1)
        for index, other in enumerate(operands[1:], 1):
            same = [compare(a, b) for a, b in zip(first.shape, other.shape, strict=False)]
            decided = other.rank != first.rank or False in same
            if decided or None in same:
                raise _refuse_mismatch(self.name, operands, index, decided, "", "`concat` joins tensors that differ along one axis")
            if other.dtype is not first.dtype:
                raise RuleError(
                    "NL210",
                    f"`{self.name}` takes one element type, but `{{x0}}` is {first} and `{{x{index}}}` is {other}",
                    at=f"x{index}",
                    help=f"convert it: `cast({{x{index}}}, {first.dtype})`",
                )
        return TensorType(first.dtype, (*first.shape[:axis], Dim.of(len(operands)), *first.shape[axis:]))

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, axis=shift_axis(self.axis))

    def derivatives(self, *operands: TensorType) -> Derivative:
        axis = normal_axis(self.name, self.axis, operands[0].rank + 1)
        return {f"x{index}": f"g[{':, ' * axis}{index}]" for index in range(len(operands))}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        axis = f", dim={self.axis}" * (self.axis != 0)
        return f"torch.stack([{', '.join(arguments)}]{axis})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        axis = f", axis={self.axis}" * (self.axis != 0)
        return f"np.stack([{', '.join(arguments)}]{axis})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3)), SampleTensor((2, 3)), SampleTensor((2, 3))))
        yield Sample(cls(axis=-1), (SampleTensor((2, 3)), SampleTensor((2, 3))))
        yield Sample(cls(axis=1), (SampleTensor((4,)),))
        yield Sample(cls(), (SampleTensor(()), SampleTensor(())))


@register
@final
@dataclass(frozen=True)
class Split(ShapeOp):
    """The tensor in parts along `axis`, as a tuple: `parts` is how many equal ones, or lists their sizes. One part is `x` itself."""

    name: ClassVar[str] = "split"
    parts: Positive | tuple[Dim, ...]
    axis: int = 1

    def sizes(self, x: TensorType) -> tuple[Dim, ...]:
        """The size of each part along the axis; refuses parts that do not make up the whole."""
        size = x.shape[normal_axis(self.name, self.axis, x.rank)]
        if isinstance(self.parts, int):
            fits = divisible(size, self.parts)
            wanted = f"into {self.parts} equal parts"
            found = (size // self.parts,) * self.parts
        else:
            for part in self.parts:
                require_size(self.name, part, "parts")
            fits = compare(size, sum(self.parts, Dim.of(0)))
            wanted = f"into parts of {', '.join(map(str, self.parts))}, together {sum(self.parts, Dim.of(0))}"
            found = self.parts
        if fits is True and at_least(found[0], 1) is False:
            fits = False
        if fits is not True:
            raise RuleError(
                "NL222" if fits is False else "NL204",
                f"axis {self.axis} of `{{x}}` is `{size}` in {x}, {'not' if fits is False else 'not proved'} to be split {wanted}",
                at="parts",
                labels={"x": str(x)},
                help=None
                if fits is False
                else f"declare the size as a multiple, such as `{self.parts}*K`"
                if isinstance(self.parts, int)
                else None,
            )
        return found

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (x,) = operands
        axis = normal_axis(self.name, self.axis, x.rank)
        return tuple(TensorType(x.dtype, (*x.shape[:axis], size, *x.shape[axis + 1 :])) for size in self.sizes(x))

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, axis=shift_axis(self.axis))

    def derivatives(self, *operands: TensorType) -> Derivative:
        count = len(self.sizes(*operands))
        parts = ", ".join(f"g[{index}]" for index in range(count))
        return {"x": f"concat({parts}, axis=axis)" if count > 1 else "g"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        (x,) = arguments
        if len(at.result_types) == 1:
            return x
        if isinstance(self.parts, int):
            return f"{x.tight}.chunk({self.parts}, dim={self.axis})"
        return f"{x.tight}.split([{', '.join(map(at.dim, self.parts))}], dim={self.axis})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        if len(at.result_types) == 1:
            return arguments[0]
        if isinstance(self.parts, int):
            return f"np.split({arguments[0]}, {self.parts}, axis={self.axis})"
        ends = list(itertools.accumulate(self.parts))[:-1]
        return f"np.split({arguments[0]}, [{', '.join(map(at.dim, ends))}], axis={self.axis})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(3), (SampleTensor((2, 6, 2)),))
        yield Sample(cls((Dim.of(1), Dim.of(4), Dim.of(2)), axis=-1), (SampleTensor((2, 7)),))
        yield Sample(cls(2, axis=0), (SampleTensor((4,)),))
        yield Sample(cls(1), (SampleTensor((2, 3)),))
