"""Every primitive of the language, one final class each, by family."""

from compiler.ops.registry import OPS, UnknownOp, make_op, near_names, op_named, register

__all__ = ["OPS", "UnknownOp", "make_op", "near_names", "op_named", "register"]
