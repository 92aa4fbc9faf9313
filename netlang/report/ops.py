"""The ops as a reference: families, signatures, attributes, formulas. All of it is read off the op classes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

from compiler.ir.op import Op
from compiler.ir.signature import Attribute, describe_kind, format_constant, signature_of


@final
@dataclass(frozen=True, slots=True)
class AttributeDoc:
    """One attribute: what it takes, and its default as text (None when it must be given)."""

    name: str
    kind: str
    default: str | None


@final
@dataclass(frozen=True, slots=True)
class OpDoc:
    """An op as its class documents it."""

    name: str
    family: str
    signature: str
    operands: tuple[str, ...]
    attributes: tuple[AttributeDoc, ...]
    doc: str
    formula: str | None
    random: bool
    parameters: tuple[str, ...]

    @property
    def short_signature(self) -> str:
        """The signature with `…` in place of the attributes that have a default."""
        required = [item.name for item in self.attributes if item.default is None]
        attributes = ", ".join([*required, *(["…"] if len(required) < len(self.attributes) else [])])
        return f"{self.name}({'; '.join(part for part in (', '.join(self.operands), attributes) if part)})"

    @property
    def summary(self) -> str:
        """The first sentence of the documentation, on one line."""
        text = " ".join(self.doc.split("\n\n")[0].split())
        head, found, _ = text.partition(". ")
        return head if found else text.removesuffix(".")


def document(op: type[Op]) -> OpDoc:
    """What there is to say about an op."""
    signature = signature_of(op)
    return OpDoc(
        op.name,
        op.family or op.__module__.rpartition(".")[2],
        str(signature),
        signature.operands,
        tuple(_document_attribute(item) for item in signature.attributes),
        inspect.cleandoc(op.__doc__ or ""),
        op.formula,
        op.random,
        _parameter_names(op),
    )


def document_all(ops: Iterable[type[Op]]) -> dict[str, list[OpDoc]]:
    """Every op by family, both in order of name."""
    families: dict[str, list[OpDoc]] = {}
    for op in sorted(ops, key=lambda item: item.name):
        doc = document(op)
        families.setdefault(doc.family, []).append(doc)
    return dict(sorted(families.items()))


def _document_attribute(item: Attribute) -> AttributeDoc:
    return AttributeDoc(item.name, describe_kind(item.annotation), None if item.required else format_constant(item.default))


def _parameter_names(op: type[Op]) -> tuple[str, ...]:
    """The tensors that the op owns in any of its samples."""
    names: dict[str, None] = {}
    for sample in op.samples():
        names.update(dict.fromkeys(item.name for item in sample.op.parameters(*(tensor.type for tensor in sample.operands))))
    return tuple(names)
