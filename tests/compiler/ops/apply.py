"""An op applied to arrays by its printed NumPy form, and a type rule's refusal as text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compiler.ir.op import Code, Op, RuleError
from compiler.ir.types import DType, TensorType
from tests.compiler.ops import harness

DTYPES = {item.numpy_name: item for item in DType if item is not DType.bf16}


def type_of(array: Any) -> TensorType:
    return TensorType.of(DTYPES[array.dtype.name], *array.shape)


def infer(op: Op, *shape: int | str, dtype: DType = DType.f32) -> TensorType:
    """The result of a one-operand op on this shape."""
    result = op.infer(TensorType.of(dtype, *shape))
    assert isinstance(result, TensorType)
    return result


def apply(op: Op, *arrays: Any, parameters: tuple[Any, ...] = ()) -> Any:
    """What the printed NumPy form makes of these operands and parameters."""
    types = tuple(type_of(array) for array in arrays)
    names = {f"operand_{i}": array for i, array in enumerate(arrays)} | {f"parameter_{i}": array for i, array in enumerate(parameters)}
    text = op.numpy(harness.PlainLowering(types, op.infer(*types)), *map(Code, names))
    return harness.run(text, harness.NUMPY | names)


def refuse(op: Op, *operands: TensorType) -> RuleError:
    """The refusal of these operands; fails where the rule takes them. Every name in braces is an operand's."""
    with pytest.raises(RuleError) as caught:
        op.infer(*operands)
    return caught.value


def numbers(*shape: int, seed: int = 0) -> Any:
    """Reproducible Gaussian numbers, f64."""
    return np.random.default_rng(seed).standard_normal(shape)
