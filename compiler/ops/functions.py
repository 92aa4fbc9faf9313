"""The functions of analysis, element by element: exponentials, logarithms, roots, circular and hyperbolic ones, rounding, erf."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, final

from compiler.ir.op import Code, Derivative, Lowering, emitted
from compiler.ops.base import Unary, register

if TYPE_CHECKING:
    import numpy as np


@register
@final
class Exp(Unary):
    """e to the power of x."""

    name: ClassVar[str] = "exp"
    derivative: ClassVar[Derivative] = {"x": "g * result"}
    torch_function: ClassVar[str] = "torch.exp"
    numpy_function: ClassVar[str] = "np.exp"


@register
@final
class Expm1(Unary):
    """exp(x) - 1, exact to the last digits near 0."""

    name: ClassVar[str] = "expm1"
    derivative: ClassVar[Derivative] = {"x": "g * (result + 1)"}
    torch_function: ClassVar[str] = "torch.expm1"
    numpy_function: ClassVar[str] = "np.expm1"


@register
@final
class Log(Unary):
    """The natural logarithm; NaN below 0, minus infinity at 0."""

    name: ClassVar[str] = "log"
    derivative: ClassVar[Derivative] = {"x": "g / x"}
    torch_function: ClassVar[str] = "torch.log"
    numpy_function: ClassVar[str] = "np.log"
    domain: ClassVar[tuple[float, float]] = (0.1, 5.0)


@register
@final
class Log1p(Unary):
    """log(1 + x), exact to the last digits near 0."""

    name: ClassVar[str] = "log1p"
    derivative: ClassVar[Derivative] = {"x": "g / (1 + x)"}
    torch_function: ClassVar[str] = "torch.log1p"
    numpy_function: ClassVar[str] = "np.log1p"
    domain: ClassVar[tuple[float, float]] = (-0.8, 4.0)


@register
@final
class Sqrt(Unary):
    """The square root; NaN below 0."""

    name: ClassVar[str] = "sqrt"
    derivative: ClassVar[Derivative] = {"x": "g / (2 * result)"}
    torch_function: ClassVar[str] = "torch.sqrt"
    numpy_function: ClassVar[str] = "np.sqrt"
    domain: ClassVar[tuple[float, float]] = (0.1, 5.0)


@register
@final
class Rsqrt(Unary):
    """1 / sqrt(x)."""

    name: ClassVar[str] = "rsqrt"
    derivative: ClassVar[Derivative] = {"x": "-0.5 * g * result * result * result"}
    formula: ClassVar[str | None] = "1 / sqrt(x)"
    torch_function: ClassVar[str] = "torch.rsqrt"
    domain: ClassVar[tuple[float, float]] = (0.1, 5.0)


@register
@final
class Reciprocal(Unary):
    """1 / x."""

    name: ClassVar[str] = "reciprocal"
    derivative: ClassVar[Derivative] = {"x": "-g * result * result"}
    formula: ClassVar[str | None] = "1 / x"
    torch_function: ClassVar[str] = "torch.reciprocal"
    domain: ClassVar[tuple[float, float]] = (0.2, 5.0)


@register
@final
class Sin(Unary):
    """The sine of radians."""

    name: ClassVar[str] = "sin"
    derivative: ClassVar[Derivative] = {"x": "g * cos(x)"}
    torch_function: ClassVar[str] = "torch.sin"
    numpy_function: ClassVar[str] = "np.sin"


@register
@final
class Cos(Unary):
    """The cosine of radians."""

    name: ClassVar[str] = "cos"
    derivative: ClassVar[Derivative] = {"x": "-g * sin(x)"}
    torch_function: ClassVar[str] = "torch.cos"
    numpy_function: ClassVar[str] = "np.cos"


@register
@final
class Floor(Unary):
    """The largest integer not above x, as a float."""

    name: ClassVar[str] = "floor"
    derivative: ClassVar[Derivative] = {"x": None}
    torch_function: ClassVar[str] = "torch.floor"
    numpy_function: ClassVar[str] = "np.floor"


@register
@final
class Ceil(Unary):
    """The smallest integer not below x, as a float."""

    name: ClassVar[str] = "ceil"
    derivative: ClassVar[Derivative] = {"x": None}
    torch_function: ClassVar[str] = "torch.ceil"
    numpy_function: ClassVar[str] = "np.ceil"


@register
@final
class Round(Unary):
    """The nearest integer, as a float; halves go to the even one."""

    name: ClassVar[str] = "round"
    derivative: ClassVar[Derivative] = {"x": None}
    torch_function: ClassVar[str] = "torch.round"
    numpy_function: ClassVar[str] = "np.round"


@register
@final
class Tanh(Unary):
    """The hyperbolic tangent."""

    name: ClassVar[str] = "tanh"
    derivative: ClassVar[Derivative] = {"x": "g * (1 - result * result)"}
    family: ClassVar[str] = "activation"
    torch_function: ClassVar[str] = "torch.tanh"
    numpy_function: ClassVar[str] = "np.tanh"
    torch_class: ClassVar[str] = "nn.Tanh"


@emitted
def erf(x: np.ndarray) -> np.ndarray:
    """The error function, to 1e-15: its power series below 1, above it 1 - exp(-x²) times a polynomial in 1/(1 + x/2).

    The polynomial interpolates exp(x²) erfc(x) at the 17 Chebyshev points of 1 ≤ x ≤ 6, computed with 50 digits.
    """
    series = [(-1) ** n * 2 / math.sqrt(math.pi) / (math.factorial(n) * (2 * n + 1)) for n in range(18)]
    tail = [
        0.2214295402299318, 0.16189356804102495, 0.038560570425182426, 0.005588816281841403, 0.00019713917772795885,
        -8.07922042879663e-05, -7.340517938287998e-06, 1.9795619759276e-06, 1.6349937383405805e-07, -7.005371793736792e-08,
        -5.886053299221601e-10, 2.625007492297143e-09, -2.68698518348558e-10, -7.468711818050684e-11, 2.2135736614933752e-11,
        4.775776110782188e-13, -9.369456032869593e-13,
    ]  # fmt: skip
    size = np.minimum(np.abs(x), 6)
    near, far = np.minimum(size, 1), np.maximum(size, 1)
    step = (1 / (1 + far / 2) - 11 / 24) * 4.8
    inner, outer = np.zeros_like(size), np.zeros_like(size)
    for coefficient in reversed(series):
        inner = inner * (near * near) + coefficient
    for coefficient in reversed(tail):
        outer = outer * step + coefficient
    result: np.ndarray = np.copysign(np.where(size < 1, near * inner, 1 - np.exp(-far * far) * outer), x)
    return result


@register
@final
class Erf(Unary):
    """The error function, 2/sqrt(pi) times the integral of exp(-t²) from 0 to x."""

    name: ClassVar[str] = "erf"
    derivative: ClassVar[Derivative] = {"x": "1.1283791670955126 * exp(-x * x) * g"}
    torch_function: ClassVar[str] = "torch.erf"
    domain: ClassVar[tuple[float, float]] = (-7.0, 7.0)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(erf)}({arguments[0]})"
