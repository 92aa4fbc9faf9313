"""Every primitive of the language, one final class each, by family."""

from compiler.ops.registry import OPS, UnknownOp, near_names, op_named, register

__all__ = ["OPS", "UnknownOp", "near_names", "op_named", "register"]
