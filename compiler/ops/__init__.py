"""Every primitive of the language, one final class each, by family."""

from compiler.ops import activation, arithmetic, classification, conv, elementwise, functions, loss, random, reduce, search, softmax
from compiler.ops.base import OPS, UnknownOp, near_names, op_named, register

FAMILIES = (elementwise, functions, arithmetic, activation, softmax, reduce, search, loss, classification, random, conv)

__all__ = ["FAMILIES", "OPS", "UnknownOp", "near_names", "op_named", "register"]
