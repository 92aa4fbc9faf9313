"""Every primitive of the language, one final class each, by family."""

from compiler.ops import (
    activation,
    arithmetic,
    classification,
    conv,
    conv_gradients,
    elementwise,
    fill,
    functions,
    index,
    join,
    layer_norm,
    linear,
    loss,
    norm,
    pool,
    random,
    reduce,
    resize,
    search,
    shape,
    softmax,
)
from compiler.ops.base import OPS, UnknownOp, near_names, op_named, register

FAMILIES = (
    fill,
    elementwise,
    functions,
    arithmetic,
    activation,
    softmax,
    reduce,
    search,
    loss,
    classification,
    random,
    linear,
    shape,
    join,
    index,
    conv,
    conv_gradients,
    pool,
    resize,
    norm,
    layer_norm,
)

__all__ = ["FAMILIES", "OPS", "UnknownOp", "near_names", "op_named", "register"]
