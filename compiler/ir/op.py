"""What an op is: one final class that holds everything known about it.

Attributes are dataclass fields; methods are the type rule, the parameters it owns, the torch and NumPy forms and the cost;
samples are its tests; the docstring is its documentation. Ops that can be composed carry a `formula` in the language, which
is their meaning and their NumPy form unless a faster one is given. An op with `random` draws numbers: two uses are never one.
An `internal` op is there for derivatives of others; it is not listed among the words of the language.

Lowerings return source text. Operand texts arrive as `Code`, which knows how tightly it binds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, final

from compiler.ir.dims import Dim
from compiler.ir.initializers import Initializer
from compiler.ir.types import DType, TensorType

TUPLE, CONDITIONAL, OR, AND, COMPARISON, SUM, PRODUCT, NEGATION, POWER, ATOM = range(10)


@final
class Code(str):
    """A Python expression and how tightly its outermost operator binds (`SUM` … `ATOM`)."""

    level: int

    def __new__(cls, text: str, level: int = ATOM) -> Code:
        made = super().__new__(cls, text)
        made.level = level
        return made

    def within(self, level: int) -> str:
        """The text, in parentheses where it binds less tightly than `level`."""
        return str(self) if self.level >= level else f"({self})"

    @property
    def tight(self) -> str:
        """The text as it may stand before `.method()` or `[index]`."""
        return self.within(ATOM)


class RuleError(Exception):
    """A type rule refuses its operands or attributes.

    `at` names the operand or attribute to point at; `{x}` in texts stands for what the spec wrote for operand `x`;
    `labels` gives a few words about other operands.
    """

    def __init__(
        self, code: str, message: str, *, at: str | None = None, help: str | None = None, labels: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.at = at
        self.help = help
        self.labels = dict(labels or {})


@final
@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """A tensor that an op owns: weights are trainable, statistics are not (buffers)."""

    name: str
    type: TensorType
    init: Initializer
    trainable: bool = True


@final
@dataclass(frozen=True, slots=True)
class SampleTensor:
    """An operand to test with: uniform numbers within [low, high), integers for integer types."""

    shape: tuple[int, ...]
    dtype: DType = DType.f32
    low: float = -2.0
    high: float = 2.0

    @property
    def type(self) -> TensorType:
        return TensorType.of(self.dtype, *self.shape)


@final
@dataclass(frozen=True, slots=True)
class Sample:
    """An op instance with operands: the generated tests run every sample on every back end."""

    op: Op
    operands: tuple[SampleTensor, ...]


class Lowering(ABC):
    """Abstract: what a back end offers an op while printing one use of it."""

    operand_types: tuple[TensorType, ...]
    result_types: tuple[TensorType, ...]

    @property
    def result(self) -> TensorType:
        return self.result_types[0]

    @abstractmethod
    def dim(self, dim: Dim) -> str:
        """Source text of a size."""

    @abstractmethod
    def use(self, function: Callable[..., Any]) -> str:
        """The name under which a function marked `emitted` can be called in the printed file, which will contain it."""

    def dims(self, shape: tuple[Dim, ...]) -> str:
        """Source text of a tuple of sizes."""
        texts = [self.dim(dim) for dim in shape]
        return f"({texts[0]},)" if len(texts) == 1 else f"({', '.join(texts)})"


class Batching(ABC):
    """Abstract: what an op may do while a batch axis is put in front of its operands."""

    @abstractmethod
    def apply(self, op: Op, *operands: Any) -> Any:
        """The value (several in a tuple) that an op makes of values."""


class Adjoint(ABC):
    """Abstract: what an op may do while gradients go back through one use of it."""

    @abstractmethod
    def apply(self, op: Op, *operands: Any) -> tuple[Any, ...]:
        """The values that an op makes of values."""

    @abstractmethod
    def fill(self, like: Any, number: int) -> Any:
        """A value of the type of `like` that holds `number` everywhere."""


Derivative = Mapping[str, str | None] | None
"""Texts of gradients by operand; see `Op.derivatives`."""


@dataclass(frozen=True)
class Op(ABC):
    """Abstract: an operation of the language. Subclasses are final frozen dataclasses; one without attributes needs no decorator."""

    name: ClassVar[str]
    operands: ClassVar[tuple[str, ...]] = ("x",)
    formula: ClassVar[str | None] = None
    derivative: ClassVar[Derivative] = None
    family: ClassVar[str] = ""
    random: ClassVar[bool] = False
    internal: ClassVar[bool] = False
    in_place: ClassVar[bool] = False
    """Whether `numpy_into` may write over an operand of the result's type."""
    broadcasts: ClassVar[bool] = False
    """Whether it works element by element on operands that broadcast, so that it stays as it is under a batch axis."""

    @abstractmethod
    def infer(self, *operands: TensorType) -> TensorType | tuple[TensorType, ...]:
        """The type of the result (a tuple where there are several); raises RuleError."""

    def parameters(self, *operands: TensorType) -> tuple[ParameterSpec, ...]:
        """The tensors this op owns, in the order in which they follow the operands."""
        return ()

    def torch_module(self, *operands: TensorType) -> str | None:
        """The constructor call of the `torch.nn` module that does this; None where only a function does.

        Ops with parameters must have one, and its `state_dict` names are those of `parameters`.
        """
        return None

    def torch_apply(self, at: Lowering, module: str, *arguments: Code) -> str:
        """The call of that module on the operands."""
        return f"{module}({', '.join(arguments)})"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        """The expression with torch (`torch`, `F`); ops with parameters need none."""
        raise NotImplementedError(f"{self.name} has a torch module, not a function")

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        """The expression with NumPy (`np`), in evaluation mode, given operands and then parameters; ops with a formula need none."""
        raise NotImplementedError(f"{self.name} has neither a NumPy form nor a formula")

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        """The expression that writes the first result into `out`, an array of its shape and dtype, and gives what `numpy` gives.

        `out` stands once in it; no result shares memory with an operand that is not `out`. `work` is there for scratch memory
        and threads. None where there is no such form for these operands.
        """
        return None

    def derivatives(self, *operands: TensorType) -> Derivative:
        """For each operand and parameter (variadic ones as `x0`, `x1` …) its gradient as text of the language.

        Names in the text: operands, parameters, attributes, `result` and `g`, the gradient of the result (lists where there
        are several results), and the symbolic sizes. The gradient may have the shape that broadcasting gave: it is summed to
        the operand's. No text: the result does not change with it. No mapping: the formula is differentiated instead.
        """
        return self.derivative

    def pull_back(
        self, at: Adjoint, inputs: tuple[Any, ...], results: tuple[Any, ...], gradients: tuple[Any | None, ...]
    ) -> tuple[Any | None, ...] | None:
        """The gradients of all inputs, operands and then parameters, where one op makes them all; None where `derivatives` says them.

        `gradients` are those of the results, None where there is none. All are values.
        """
        return None

    def training(self, *operands: TensorType) -> str | None:
        """What a formula says in training mode, where that differs: the result, then the new value of each buffer."""
        return None

    def cost(self, operands: tuple[TensorType, ...], results: tuple[TensorType, ...]) -> Dim:
        """Multiply-adds of one evaluation; products only, as papers count them."""
        return Dim.of(0)

    def shifted(self, *operands: TensorType) -> Op | None:
        """This op for operands that all have one more axis in front; None where it has no such form.

        Operand types are those without the axis. Ops that broadcast need no form.
        """
        return None

    def batched(self, at: Batching, moved: tuple[bool, ...], *operands: Any) -> Any:
        """The result's value for operands (values) of which those `moved` have a batch axis in front.

        None where `shifted` says it, with a batch axis given to all operands.
        """
        return None

    @classmethod
    @abstractmethod
    def samples(cls) -> Iterator[Sample]:
        """Instances with non-default attributes and operands of several ranks and sizes."""


F = TypeVar("F", bound=Callable[..., Any])

EMITTED: dict[str, Callable[..., Any]] = {}


def emitted(function: F) -> F:
    """Mark a function that printed files contain: its source is copied into them, where `np` or `torch` is bound.

    It uses nothing but its arguments, `np` or `torch`/`F`, builtins, `math` and other emitted functions; names are unique.
    """
    known = EMITTED.setdefault(function.__name__, function)
    if known.__module__ != function.__module__:
        raise ValueError(f"two emitted functions are named {function.__name__}")
    return function
