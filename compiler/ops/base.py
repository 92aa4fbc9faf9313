"""The families that ops share, and the checks that type rules are made of.

A type rule raises RuleError; the texts name what is wrong in the spec's own words (`{x}` is what was written for operand x).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any, ClassVar

from compiler.ir.dims import Dim
from compiler.ir.op import PRODUCT, Code, Lowering, Op, RuleError, Sample, SampleTensor
from compiler.ir.signature import signature_of
from compiler.ir.types import BroadcastError, DType, TensorType, broadcast, promote
from compiler.ops.registry import register


def require_float(name: str, type: TensorType, operand: str = "x") -> None:
    """Refuse an operand that does not hold floating-point numbers."""
    if not type.dtype.is_float:
        raise RuleError(
            "NL210",
            f"`{name}` takes floating-point numbers, but `{{{operand}}}` is {type}",
            at=operand,
            help=f"convert it: `cast({{{operand}}}, f32)`",
        )


def require_rank(name: str, type: TensorType, ranks: tuple[int, ...], operand: str = "x", meaning: str = "") -> None:
    """Refuse an operand whose number of dimensions is not among `ranks`; `meaning` says what they are."""
    if type.rank not in ranks:
        wanted = " or ".join(str(rank) for rank in ranks)
        raise RuleError(
            "NL202",
            f"`{name}` takes {wanted} dimensions{f' {meaning}' if meaning else ''}, but `{{{operand}}}` is {type}",
            at=operand,
        )


def require_known(name: str, dim: Dim, what: str, operand: str = "x") -> int:
    """The size as a number; refuse a symbolic one where a parameter's shape needs it."""
    if dim.constant is None:
        raise RuleError(
            "NL205",
            f"`{name}` needs to know {what}, but it is `{dim}`",
            at=operand,
            help=f"give the input a concrete size in place of `{', '.join(sorted(dim.symbols))}`",
        )
    return dim.constant


def normal_axis(name: str, axis: int, rank: int, attribute: str = "axis") -> int:
    """An axis counted from the front; refuse one outside the rank."""
    if not -rank <= axis < rank:
        raise RuleError("NL207", f"`{name}` has no axis {axis} in a tensor of {rank} dimensions", at=attribute, help=_list_axes(rank))
    return axis % rank


def _list_axes(rank: int) -> str:
    if rank < 2:
        return "its only axis is 0" if rank else "a single number has no axes"
    return f"its axes are 0 to {rank - 1}, or {-rank} to -1 from the end"


def shift_axis(axis: int) -> int:
    """An axis after one more has been put in front; one counted from the end stays."""
    return axis + 1 if axis >= 0 else axis


def broadcast_types(*types: TensorType, operands: tuple[str, ...] = ("x", "y"), dtype: DType | None = None) -> TensorType:
    """NumPy broadcasting and dtype promotion; refuses shapes that differ."""
    result = dtype if dtype is not None else reduce(promote, (item.dtype for item in types))
    try:
        return TensorType(result, broadcast(*(item.shape for item in types)))
    except BroadcastError as error:
        left = types[0]
        guilty = next((i for i in range(1, len(types)) if _clashes(left, types[i])), 1)
        first, other = operands[0], operands[guilty]
        verb, doubt = ("but", "") if error.decided else ("and", ", and it is not proved to fit")
        raise RuleError(
            "NL203" if error.decided else "NL204",
            f"`{{{first}}}` is {left} {verb} `{{{other}}}` is {types[guilty]}{doubt}",
            at=first,
            labels={first: str(left), other: str(types[guilty])},
            help=_cure(left, types[guilty], other) if error.decided else _proof(error),
        ) from None


def _proof(error: BroadcastError) -> str:
    return f"make `{error.left}` and `{error.right}` equal by declaring sizes such as `2*H`, or give concrete ones"


def _cure(left: TensorType, right: TensorType, operand: str) -> str | None:
    """A projection where only the number of channels or features differs."""
    differ = [axis for axis in range(left.rank) if left.rank == right.rank and left.shape[axis] != right.shape[axis]]
    if differ != [1] or left.shape[1].constant is None or left.rank > 5:
        return None
    projection = f"conv({left.shape[1]}, 1)" if left.rank > 2 else f"linear({left.shape[1]})"
    return f"project one side: `{{{operand}}} -> {projection}`"


def _clashes(a: TensorType, b: TensorType) -> bool:
    try:
        broadcast(a.shape, b.shape)
    except BroadcastError:
        return True
    return False


class Unary(Op):
    """Abstract: one floating-point tensor in, one of the same type out, element by element.

    An op without attributes only names its torch function, its NumPy function (or a formula) and its torch module.
    """

    family: ClassVar[str] = "elementwise"
    broadcasts: ClassVar[bool] = True
    in_place: ClassVar[bool] = True
    torch_function: ClassVar[str] = ""
    numpy_function: ClassVar[str] = ""
    torch_class: ClassVar[str] = ""
    domain: ClassVar[tuple[float, float]] = (-3.0, 3.0)

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        require_float(self.name, x)
        return x

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"{self.torch_class}()" if self.torch_class else None

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{self.torch_function}({arguments[0]})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        if not self.numpy_function:
            return super().numpy(at, *arguments)
        return f"{self.numpy_function}({arguments[0]})"

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return f"{self.numpy_function}({arguments[0]}, out={out})" if self.numpy_function else None

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4), DType.f32, *cls.domain),))
        yield Sample(cls(), (SampleTensor((5,), DType.f64, *cls.domain),))


class Binary(Op):
    """Abstract: two tensors that broadcast, element by element."""

    operands: ClassVar[tuple[str, ...]] = ("x", "y")
    family: ClassVar[str] = "elementwise"
    broadcasts: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> TensorType:
        return broadcast_types(*operands)


def infix(left: Code, operator: str, right: Code, level: int = PRODUCT) -> Code:
    """`left operator right`, with parentheses where they are needed; operators of one level associate to the left."""
    return Code(f"{left.within(level)} {operator} {right.within(level + 1)}", level)


def keywords(record: Any, names: dict[str, str], *, skip: tuple[str, ...] = ()) -> str:
    """`, stride=2, padding=1`: the attributes that differ from their defaults, under the names given.

    `names` maps an attribute to the keyword of the printed call, in the order to print them.
    """
    signature = signature_of(type(record))
    parts = []
    for attribute, keyword in names.items():
        value = getattr(record, attribute)
        default = next(item.default for item in signature.attributes if item.name == attribute)
        if attribute not in skip and value != default:
            parts.append(f", {keyword}={value!r}")
    return "".join(parts)


__all__ = [
    "Binary",
    "Lowering",
    "Unary",
    "broadcast_types",
    "infix",
    "keywords",
    "normal_axis",
    "register",
    "require_float",
    "require_known",
    "require_rank",
    "shift_axis",
]
