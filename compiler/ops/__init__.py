"""Every primitive of the language, one final class each, by family."""

from compiler.ops import conv, elementwise
from compiler.ops.base import OPS, UnknownOp, near_names, op_named, register

FAMILIES = (elementwise, conv)

__all__ = ["FAMILIES", "OPS", "UnknownOp", "near_names", "op_named", "register"]
