"""The reference of ops, read off their classes."""

from __future__ import annotations

import pytest

from compiler.ops import OPS
from netlang.report.ops import document, document_all
from netlang.report.tables import draw_op, draw_ops


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_op_has_a_page(name: str) -> None:
    doc = document(OPS[name])
    assert doc.doc
    assert 0 < len(doc.summary) < 200, "the first sentence says in a line what the op does"
    page = draw_op(doc, width=100, color=False)
    assert page.startswith(f"{name}(")
    assert all(item.name in page for item in doc.attributes)


def test_the_page_of_conv() -> None:
    doc = document(OPS["conv"])
    assert doc.short_signature == "conv(x; filters, kernel, …)"
    assert doc.parameters == ("weight", "bias")
    filters, *_, mode = doc.attributes
    assert (filters.kind, filters.default) == ("a positive integer", None)
    assert (mode.name, mode.default) == ("mode", "zeros")


def test_families_hold_every_op_once() -> None:
    families = document_all(OPS.values())
    assert sorted(op.name for ops in families.values() for op in ops) == sorted(OPS)
    text = draw_ops(families, width=100, color=False)
    assert all(f"{name}(" in text for name in OPS)
    assert max(map(len, text.splitlines())) <= 100
