"""Signatures: what a call in a spec may hold, read off a record's dataclass fields.

Ops, readers, optimizers, schedules and initializers are frozen dataclasses; their annotations say which constants they
take. This module turns annotations into kinds that convert a spec's value or say what was expected. Dimensions count as
integers. Non-goals: operands (tensors) are bound by the front end, shapes are checked by type rules.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, final

from compiler.ir.dims import Dim
from compiler.ir.types import DType

LARGEST_INTEGER = 2**31 - 1
MISSING = dataclasses.MISSING


@final
@dataclass(frozen=True, slots=True)
class Word:
    """A bare word of the spec that is not a name: `same` in `pad=same`."""

    text: str


@final
@dataclass(frozen=True, slots=True)
class Range:
    """Annotation: the inclusive bounds of a number; `open_low` excludes the lower one."""

    low: float | None = None
    high: float | None = None
    open_low: bool = False


@final
@dataclass(frozen=True, slots=True)
class Variadic:
    """Annotation: a tuple that may also be written as several positional values."""


Positive = Annotated[int, Range(1, LARGEST_INTEGER)]
NonNegative = Annotated[int, Range(0, LARGEST_INTEGER)]
Probability = Annotated[float, Range(0, 1)]
PositiveFloat = Annotated[float, Range(0, None, open_low=True)]


@final
class KindError(Exception):
    """A value that a kind does not take; `expected` completes "expects …"; `choices` are the words that would do."""

    def __init__(self, expected: str, choices: tuple[str, ...] = ()) -> None:
        super().__init__(expected)
        self.expected = expected
        self.choices = choices


@final
@dataclass(frozen=True, slots=True)
class Attribute:
    """One constant of a call: its name, its annotation, its default (`MISSING` when it must be given)."""

    name: str
    annotation: Any
    default: Any
    variadic: bool

    @property
    def required(self) -> bool:
        return self.default is MISSING

    def convert(self, value: object) -> object:
        """The value as the field's type; raises KindError."""
        return convert(self.annotation, value)

    def describe(self) -> str:
        """As a signature shows it: `stride=1`, or `filters` when it must be given."""
        return self.name if self.required else f"{self.name}={format_constant(self.default)}"


@final
@dataclass(frozen=True, slots=True)
class Signature:
    """A callable's name, operand names (the last may be variadic: `*x`) and attributes, in order."""

    name: str
    operands: tuple[str, ...]
    attributes: tuple[Attribute, ...]

    def attribute(self, name: str) -> Attribute | None:
        return next((item for item in self.attributes if item.name == name), None)

    def __str__(self) -> str:
        operands = ", ".join(self.operands)
        attributes = ", ".join(item.describe() for item in self.attributes)
        return f"{self.name}({'; '.join(part for part in (operands, attributes) if part)})"


_SIGNATURES: dict[type[Any], Signature] = {}


def signature_of(record: type[Any]) -> Signature:
    """The signature of a dataclass with a class variable `name` and, for ops, `operands`; read once."""
    if record not in _SIGNATURES:
        _SIGNATURES[record] = _read_signature(record)
    return _SIGNATURES[record]


def _read_signature(record: type[Any]) -> Signature:
    hints = typing.get_type_hints(record, include_extras=True)
    attributes = []
    for field in dataclasses.fields(record):
        annotation = hints[field.name]
        default = field.default if field.default_factory is MISSING else field.default_factory()
        attributes.append(Attribute(field.name, annotation, default, _is_variadic(annotation)))
    return Signature(record.name, tuple(getattr(record, "operands", ())), tuple(attributes))


def _is_variadic(annotation: Any) -> bool:
    return any(isinstance(item, Variadic) for item in getattr(annotation, "__metadata__", ()))


def convert(annotation: Any, value: object) -> object:
    """`value` as `annotation` asks; raises KindError with what was expected."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        base, *metadata = typing.get_args(annotation)
        return _within(metadata, base, value)
    if origin is Literal:
        return _convert_choice(typing.get_args(annotation), value)
    if origin is Union or origin is types.UnionType:
        return _convert_union(typing.get_args(annotation), value)
    if origin is tuple:
        return _convert_tuple(typing.get_args(annotation), value)
    return _convert_scalar(annotation, value)


def _convert_scalar(annotation: Any, value: object) -> object:
    if isinstance(value, Dim) and value.constant is not None:
        value = value.constant
    if annotation is bool and isinstance(value, bool):
        return value
    if annotation is Dim and isinstance(value, int | Dim) and not isinstance(value, bool):
        return Dim.of(value)
    if annotation is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if annotation is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if annotation is str and isinstance(value, str | Word):
        return value if isinstance(value, str) else value.text
    if annotation is DType and isinstance(value, DType):
        return value
    if annotation is DType:
        return _convert_choice(tuple(item.value for item in DType), value, DType)
    if annotation is types.NoneType and value is None:
        return None
    if isinstance(annotation, type) and annotation not in (bool, int, float, str, Dim) and isinstance(value, annotation):
        return value
    raise KindError(describe_kind(annotation))


def _convert_choice(choices: tuple[Any, ...], value: object, make: Any = None) -> object:
    text = value.text if isinstance(value, Word) else value
    if any(text == choice and type(text) is type(choice) for choice in choices):
        return make(text) if make is not None else text
    words = tuple(str(choice) for choice in choices)
    raise KindError(_one_of([f"`{word}`" for word in words]), words)


def _convert_union(members: tuple[Any, ...], value: object) -> object:
    expected: list[str] = []
    choices: list[str] = []
    for member in members:
        try:
            return convert(member, value)
        except KindError as error:
            if member is not types.NoneType:
                expected.append(error.expected)
                choices.extend(error.choices)
    raise KindError(_one_of(expected), tuple(choices))


def _convert_tuple(members: tuple[Any, ...], value: object) -> object:
    if not isinstance(value, tuple | list):
        raise KindError(_describe_list(members))
    if len(members) == 2 and members[1] is Ellipsis:
        return tuple(convert(members[0], item) for item in value)
    if len(value) != len(members):
        raise KindError(_describe_list(members))
    return tuple(convert(member, item) for member, item in zip(members, value, strict=True))


def _within(metadata: list[Any], base: Any, value: object) -> object:
    result = convert(base, value)
    for item in metadata:
        if isinstance(item, Range) and isinstance(result, int | float):
            too_low = item.low is not None and (result <= item.low if item.open_low else result < item.low)
            too_high = item.high is not None and result > item.high
            if too_low or too_high or result != result:
                raise KindError(describe_kind(Annotated[base, item]))
    return result


_PLAIN = {int: "an integer", float: "a number", bool: "`true` or `false`", str: "a string", Dim: "a size"}


def describe_kind(annotation: Any) -> str:
    """What a message says was expected: "a positive integer", "`zeros` or `reflect`"."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        base, *metadata = typing.get_args(annotation)
        return next((_describe_range(base, item) for item in metadata if isinstance(item, Range)), describe_kind(base))
    if origin is Literal:
        return _one_of([f"`{choice}`" for choice in typing.get_args(annotation)])
    if origin is Union or origin is types.UnionType:
        return _one_of([describe_kind(item) for item in typing.get_args(annotation) if item is not types.NoneType])
    if origin is tuple:
        return _describe_list(typing.get_args(annotation))
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    name = str(getattr(annotation, "kind", getattr(annotation, "__name__", annotation))).lower()
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _describe_list(members: tuple[Any, ...]) -> str:
    if len(members) == 2 and members[1] is Ellipsis:
        return f"a list of {describe_kind(members[0]).removeprefix('an ').removeprefix('a ')}s"
    return f"a list of {len(members)}"


def _describe_range(base: Any, limits: Range) -> str:
    noun = "integer" if base is int else "number"
    if limits.high is None or limits.high == LARGEST_INTEGER:
        if limits.low == 0:
            return f"a positive {noun}" if limits.open_low else f"a non-negative {noun}"
        if limits.low == 1 and base is int:
            return "a positive integer"
        return f"{'an' if base is int else 'a'} {noun} of at least {limits.low}"
    if limits.low is None:
        return f"{'an' if base is int else 'a'} {noun} of at most {limits.high}"
    return f"{'an' if base is int else 'a'} {noun} from {limits.low} to {limits.high}"


def _one_of(words: list[str]) -> str:
    unique = list(dict.fromkeys(words))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} or {unique[-1]}"


def format_constant(value: object) -> str:
    """A constant as a spec would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return f"[{', '.join(format_constant(item) for item in value)}]"
    if isinstance(value, Word):
        return value.text
    if dataclasses.is_dataclass(value) and hasattr(value, "name"):
        fields = (f"{field.name}={format_constant(getattr(value, field.name))}" for field in dataclasses.fields(value))
        return f"{value.name}({', '.join(fields)})"
    return str(value)
