"""Names that CuPy offers under NumPy's name.

Read off CuPy's reference, "Comparison Table" (docs.cupy.dev/en/stable/reference/comparison.html), CuPy 13. Kept small on purpose: a name
that is not here has to be looked up before printed code may use it.
"""

from __future__ import annotations

from typing import Final

# fmt: off
CUPY: Final = frozenset({
    "abs", "add", "all", "any", "arange", "argmax", "argmin", "argsort", "array", "asarray", "ascontiguousarray", "bincount", "bitwise_xor",
    "bool_",
    "broadcast_to", "ceil", "clip", "concatenate", "copysign", "cos", "cosh", "cumprod", "cumsum", "divide", "dot", "dtype", "einsum",
    "empty", "empty_like", "equal", "exp", "expand_dims", "expm1", "eye", "flip", "float16", "float32", "float64", "floor", "full",
    "full_like", "greater", "greater_equal", "inf", "int32", "int64", "isfinite", "isinf", "isnan", "less", "less_equal", "lib",
    "lib.stride_tricks", "lib.stride_tricks.as_strided",
    "lib.stride_tricks.sliding_window_view", "log", "log1p", "logaddexp", "logical_and", "logical_not", "logical_or", "matmul", "max",
    "maximum", "may_share_memory", "mean", "min", "minimum", "moveaxis", "multiply", "nan", "ndarray", "ndindex", "negative", "newaxis",
    "ones", "ones_like", "outer", "pad", "pi", "power", "prod", "put_along_axis", "random", "random.Generator", "random.default_rng",
    "ravel", "repeat", "reshape", "rint", "roll", "round", "sign", "sin", "sinh", "sort", "split", "sqrt", "square", "squeeze", "stack",
    "subtract", "sum", "swapaxes", "take", "take_along_axis", "tan", "tanh", "tensordot", "tile", "transpose", "tril", "triu", "trunc",
    "ufunc", "uint8", "unique", "var", "where", "zeros", "zeros_like",
})
# fmt: on
