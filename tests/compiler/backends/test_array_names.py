"""Printed code and emitted functions use only names that CuPy and array-api-compat's namespace of NumPy offer."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator

import numpy as np
import pytest

import netlang
from compiler.backends.array_modules import HOST_NAMES
from compiler.backends.numpy_source import numpy_source
from compiler.backends.numpy_steps import print_steps
from compiler.ir.graph import Node, Value
from compiler.ir.op import EMITTED, Code, Op
from compiler.ops import OPS
from compiler.passes.expand import Probe, has_form
from compiler.passes.step_gradient import step_gradient
from tests.compiler.backends.array_names import CUPY


def names_of(text: str) -> Iterator[str]:
    """Every attribute of `np`, with those of its modules."""
    for item in ast.walk(ast.parse(text)):
        path: list[str] = []
        inner: ast.AST = item
        while isinstance(inner, ast.Attribute):
            path.insert(0, inner.attr)
            inner = inner.value
        if path and isinstance(inner, ast.Name) and inner.id == "np":
            yield ".".join(path)


def is_offered(name: str) -> bool:
    """By both: array-api-compat's `numpy` takes all that `from numpy import *` gives."""
    return name.partition(".")[0] in np.__all__ and (name in CUPY or name in HOST_NAMES)


def check_names(text: str) -> None:
    assert [name for name in dict.fromkeys(names_of(text)) if not is_offered(name)] == []


def test_names_are_found() -> None:
    assert set(names_of("x = np.add(np.lib.array_utils.byte_bounds(y), z.np)")) >= {"add", "lib.array_utils.byte_bounds"}
    assert not is_offered("vectorize")
    assert not is_offered("lib.array_utils.byte_bounds")


OPS.load_all()


@pytest.mark.parametrize("name", sorted(EMITTED))
def test_emitted_functions(name: str) -> None:
    text = textwrap.dedent(inspect.getsource(EMITTED[name]))
    tree = ast.parse(text)
    for item in ast.walk(tree):
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            item.returns = None
            for argument in (*item.args.args, *item.args.kwonlyargs):
                argument.annotation = None
    check_names(ast.unparse(tree))


@pytest.mark.parametrize("kind", OPS.values(), ids=list(OPS))
def test_ops(kind: type[Op]) -> None:
    for sample in kind.samples():
        types = tuple(operand.type for operand in sample.operands)
        inferred = sample.op.infer(*types)
        results = inferred if isinstance(inferred, tuple) else (inferred,)
        owned = tuple(Value(spec.type, spec.name) for spec in sample.op.parameters(*types))
        node = Node(sample.op, tuple(Value(type, "x") for type in types), owned, tuple(Value(type, "y") for type in results))
        if has_form(node, sample.op.numpy):
            codes = [Code(f"value_{index}") for index in range(len(types) + len(owned))]
            check_names(sample.op.numpy(Probe(node), *codes))


@pytest.mark.parametrize("spec", ["mlp", "lenet5", "lenet5_1998", "resnet20", "unet", "mobilenet_small"])
def test_printed_files(spec: str) -> None:
    checked = netlang.check(spec).require()
    texts = [numpy_source(list(checked.networks.values()))]
    if checked.program is not None:
        trained = {name for step in checked.program.steps for name in step.update}
        texts.append(print_steps([step_gradient(step, trained) for step in checked.program.steps]).text)
    for text in texts:
        check_names(text)
