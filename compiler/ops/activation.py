"""Activations: functions applied element by element after a layer. Their formulas are their meaning; names and defaults are PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, final

from compiler.ir.op import PRODUCT, Code, Derivative, Lowering, RuleError, Sample, SampleTensor, emitted
from compiler.ir.signature import PositiveFloat
from compiler.ir.types import TensorType
from compiler.ops.arithmetic import number
from compiler.ops.base import Unary, register

if TYPE_CHECKING:
    import numpy as np


class Activation(Unary):
    """Abstract: `call` is the function of F and `module` the class of nn; `settings` maps attributes to their keywords there.

    Attributes that have their defaults are not printed.
    """

    family: ClassVar[str] = "activation"
    call: ClassVar[str]
    module: ClassVar[str]
    settings: ClassVar[dict[str, str]] = {}

    def _settings(self) -> str:
        parts = []
        for attribute, keyword in self.settings.items():
            value = getattr(self, attribute)
            if value != type(self).__dataclass_fields__[attribute].default:
                parts.append(f"{keyword}={value!r}" if isinstance(value, str) else f"{keyword}={number(value)}")
        return ", ".join(parts)

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"{self.module}({self._settings()})"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{self.call}({', '.join(part for part in (arguments[0], self._settings()) if part)})"


@register
@final
class Relu(Activation):
    """x where it is positive, else 0."""

    name: ClassVar[str] = "relu"
    derivative: ClassVar[Derivative] = {"x": "where(result > 0, g, 0)"}
    formula: ClassVar[str | None] = "max(x, 0)"
    call: ClassVar[str] = "F.relu"
    module: ClassVar[str] = "nn.ReLU"


@register
@final
class Relu6(Activation):
    """x kept within [0, 6]."""

    name: ClassVar[str] = "relu6"
    derivative: ClassVar[Derivative] = {"x": "where(logical_and(result > 0, result < 6), g, 0)"}
    formula: ClassVar[str | None] = "clip(x, 0, 6)"
    call: ClassVar[str] = "F.relu6"
    module: ClassVar[str] = "nn.ReLU6"
    domain: ClassVar[tuple[float, float]] = (-4.0, 9.0)


@emitted
def leaky(x: np.ndarray, slope: float, out: np.ndarray | None = None) -> np.ndarray:
    """The larger of x and slope * x, for a slope above 0, at most 1; `out` may be x."""
    result: np.ndarray = np.maximum(x, np.multiply(x, slope), out=out)
    return result


@register
@final
@dataclass(frozen=True)
class LeakyRelu(Activation):
    """x where it is positive, else slope * x."""

    name: ClassVar[str] = "leaky_relu"
    derivative: ClassVar[Derivative] = {"x": "where(x > 0, g, slope * g)"}
    formula: ClassVar[str | None] = "where(x > 0, x, slope * x)"
    call: ClassVar[str] = "F.leaky_relu"
    module: ClassVar[str] = "nn.LeakyReLU"
    settings: ClassVar[dict[str, str]] = {"slope": "negative_slope"}
    slope: float = 0.01

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        if not 0 < self.slope <= 1:
            return super().numpy(at, *arguments)
        return f"{at.use(leaky)}({arguments[0]}, {number(self.slope)})"

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return f"{at.use(leaky)}({arguments[0]}, {number(self.slope)}, out={out})" if 0 < self.slope <= 1 else None

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4)),))
        yield Sample(cls(0.2), (SampleTensor((5,)),))
        yield Sample(cls(-1.0), (SampleTensor((2, 1)),))
        yield Sample(cls(3.0), (SampleTensor((4,)),))


@register
@final
@dataclass(frozen=True)
class Elu(Activation):
    """x where it is positive, else alpha * (exp(x) - 1). Clevert et al. 2016."""

    name: ClassVar[str] = "elu"
    derivative: ClassVar[Derivative] = {"x": "where(x > 0, g, alpha * exp(min(x, 0)) * g)"}
    formula: ClassVar[str | None] = "where(x > 0, x, alpha * expm1(min(x, 0)))"
    call: ClassVar[str] = "F.elu"
    module: ClassVar[str] = "nn.ELU"
    settings: ClassVar[dict[str, str]] = {"alpha": "alpha"}
    alpha: float = 1.0

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4)),))
        yield Sample(cls(0.3), (SampleTensor((5,)),))


@register
@final
@dataclass(frozen=True)
class Celu(Activation):
    """x where it is positive, else alpha * (exp(x / alpha) - 1), smooth for every alpha. Barron 2017."""

    name: ClassVar[str] = "celu"
    derivative: ClassVar[Derivative] = {"x": "where(x > 0, g, exp(min(x, 0) / alpha) * g)"}
    formula: ClassVar[str | None] = "where(x > 0, x, alpha * expm1(min(x, 0) / alpha))"
    call: ClassVar[str] = "F.celu"
    module: ClassVar[str] = "nn.CELU"
    settings: ClassVar[dict[str, str]] = {"alpha": "alpha"}
    alpha: PositiveFloat = 1.0

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4)),))
        yield Sample(cls(0.3), (SampleTensor((5,)),))


@register
@final
class Selu(Activation):
    """A scaled elu whose two constants keep mean 0 and variance 1. Klambauer et al. 2017, arXiv:1706.02515."""

    name: ClassVar[str] = "selu"
    derivative: ClassVar[Derivative] = {"x": "where(x > 0, 1.0507009873554805 * g, 1.7580993408473766 * exp(min(x, 0)) * g)"}
    formula: ClassVar[str | None] = "1.0507009873554805 * elu(x, 1.6732632423543772)"
    call: ClassVar[str] = "F.selu"
    module: ClassVar[str] = "nn.SELU"


@register
@final
@dataclass(frozen=True)
class Gelu(Activation):
    """x times the normal distribution function of x, or its approximation with tanh. Hendrycks and Gimpel 2016, arXiv:1606.08415."""

    name: ClassVar[str] = "gelu"
    formula: ClassVar[str | None] = (
        "0.5 * x * (1 + erf(0.7071067811865476 * x))"
        ' if approximate == "none" else 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))'
    )
    call: ClassVar[str] = "F.gelu"
    module: ClassVar[str] = "nn.GELU"
    settings: ClassVar[dict[str, str]] = {"approximate": "approximate"}
    approximate: Literal["none", "tanh"] = "none"

    def derivatives(self, *operands: TensorType) -> Derivative:
        """The distribution function plus x times its density, or the product rule with tanh."""
        if self.approximate == "none":
            return {"x": "g * (0.5 * (1 + erf(0.7071067811865476 * x)) + 0.3989422804014327 * exp(-0.5 * x * x) * x)"}
        tanh = "tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))"
        slope = "0.3989422804014327 + 0.05351611220445019 * x * x"
        return {"x": f"g * (0.5 * (1 + {tanh}) + (1 - square({tanh})) * ({slope}) * x)"}

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4), low=-4, high=4),))
        yield Sample(cls("tanh"), (SampleTensor((5,), low=-4, high=4),))


@register
@final
class Silu(Activation):
    """x * sigmoid(x), also called swish. Elfwing et al. 2018."""

    name: ClassVar[str] = "silu"
    derivative: ClassVar[Derivative] = {"x": "g * sigmoid(x) * (1 + (x - result))"}
    formula: ClassVar[str | None] = "x * sigmoid(x)"
    call: ClassVar[str] = "F.silu"
    module: ClassVar[str] = "nn.SiLU"


@register
@final
class Mish(Activation):
    """x * tanh(softplus(x)). Misra 2019, arXiv:1908.08681."""

    name: ClassVar[str] = "mish"
    derivative: ClassVar[Derivative] = {"x": "g * (tanh(softplus(x)) + x * sigmoid(x) * (1 - square(tanh(softplus(x)))))"}
    formula: ClassVar[str | None] = "x * tanh(softplus(x))"
    call: ClassVar[str] = "F.mish"
    module: ClassVar[str] = "nn.Mish"


@register
@final
@dataclass(frozen=True)
class Softplus(Activation):
    """log(1 + exp(beta x)) / beta; PyTorch's own form is x itself where beta x > 20, which is within 3e-9."""

    name: ClassVar[str] = "softplus"
    derivative: ClassVar[Derivative] = {"x": "g * sigmoid(beta * x) if beta != 1 else g * sigmoid(x)"}
    formula: ClassVar[str | None] = "max(x, 0) + log1p(exp(-abs(beta * x))) / beta"
    call: ClassVar[str] = "F.softplus"
    module: ClassVar[str] = "nn.Softplus"
    settings: ClassVar[dict[str, str]] = {"beta": "beta"}
    beta: PositiveFloat = 1.0

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        (x,) = arguments
        if self.beta == 1:
            return f"np.logaddexp({x}, 0)"
        return Code(f"np.logaddexp({number(self.beta)} * {x.tight}, 0) / {number(self.beta)}", PRODUCT)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4), low=-9, high=9),))
        yield Sample(cls(0.5), (SampleTensor((5,), low=-30, high=30),))
        yield Sample(cls(3.0), (SampleTensor((), low=-2, high=2),))


@register
@final
class LogSigmoid(Activation):
    """log(sigmoid(x)), finite wherever x is."""

    name: ClassVar[str] = "log_sigmoid"
    derivative: ClassVar[Derivative] = {"x": "g * sigmoid(-x)"}
    formula: ClassVar[str | None] = "-softplus(-x)"
    call: ClassVar[str] = "F.logsigmoid"
    module: ClassVar[str] = "nn.LogSigmoid"
    domain: ClassVar[tuple[float, float]] = (-60.0, 60.0)


@register
@final
class Softsign(Activation):
    """x / (1 + |x|)."""

    name: ClassVar[str] = "softsign"
    derivative: ClassVar[Derivative] = {"x": "g / square(1 + abs(x))"}
    formula: ClassVar[str | None] = "x / (1 + abs(x))"
    call: ClassVar[str] = "F.softsign"
    module: ClassVar[str] = "nn.Softsign"


@register
@final
class Tanhshrink(Activation):
    """x - tanh(x)."""

    name: ClassVar[str] = "tanhshrink"
    derivative: ClassVar[Derivative] = {"x": "g * square(tanh(x))"}
    formula: ClassVar[str | None] = "x - tanh(x)"
    call: ClassVar[str] = "F.tanhshrink"
    module: ClassVar[str] = "nn.Tanhshrink"


@register
@final
@dataclass(frozen=True)
class Softshrink(Activation):
    """x moved towards 0 by `threshold`, and 0 within it."""

    name: ClassVar[str] = "softshrink"
    derivative: ClassVar[Derivative] = {"x": "where(abs(x) > threshold, g, 0)"}
    formula: ClassVar[str | None] = "x - clip(x, -threshold, threshold)"
    call: ClassVar[str] = "F.softshrink"
    module: ClassVar[str] = "nn.Softshrink"
    settings: ClassVar[dict[str, str]] = {"threshold": "lambd"}
    threshold: PositiveFloat = 0.5

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4)),))
        yield Sample(cls(1.25), (SampleTensor((5, 1)),))


@register
@final
@dataclass(frozen=True)
class Hardshrink(Activation):
    """x, but 0 within `threshold` of 0."""

    name: ClassVar[str] = "hardshrink"
    derivative: ClassVar[Derivative] = {"x": "where(abs(x) > threshold, g, 0)"}
    formula: ClassVar[str | None] = "where(abs(x) > threshold, x, 0)"
    call: ClassVar[str] = "F.hardshrink"
    module: ClassVar[str] = "nn.Hardshrink"
    settings: ClassVar[dict[str, str]] = {"threshold": "lambd"}
    threshold: PositiveFloat = 0.5

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4)),))
        yield Sample(cls(1.25), (SampleTensor((5, 1)),))


@register
@final
@dataclass(frozen=True)
class Threshold(Unary):
    """x where it is above `threshold`, else `value`."""

    name: ClassVar[str] = "threshold"
    derivative: ClassVar[Derivative] = {"x": "where(x > threshold, g, 0)"}
    family: ClassVar[str] = "activation"
    formula: ClassVar[str | None] = "where(x > threshold, x, value)"
    threshold: float
    value: float

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.Threshold({number(self.threshold)}, {number(self.value)})"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.threshold({arguments[0]}, {number(self.threshold)}, {number(self.value)})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(0.5, -3.0), (SampleTensor((2, 3, 4)),))
        yield Sample(cls(-0.25, 0.0), (SampleTensor((5, 1)),))


@register
@final
@dataclass(frozen=True)
class Hardtanh(Activation):
    """x kept within [low, high]."""

    name: ClassVar[str] = "hardtanh"
    derivative: ClassVar[Derivative] = {"x": "where(logical_and(result > low, result < high), g, 0)"}
    formula: ClassVar[str | None] = "clip(x, low, high)"
    call: ClassVar[str] = "F.hardtanh"
    module: ClassVar[str] = "nn.Hardtanh"
    settings: ClassVar[dict[str, str]] = {"low": "min_val", "high": "max_val"}
    low: float = -1.0
    high: float = 1.0

    def infer(self, *operands: TensorType) -> TensorType:
        if self.low >= self.high:
            raise RuleError("NL214", f"`hardtanh` keeps nothing between {number(self.low)} and {number(self.high)}", at="low")
        return super().infer(*operands)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4)),))
        yield Sample(cls(-0.5, 0.75), (SampleTensor((5, 1)),))


@register
@final
class Hardsigmoid(Activation):
    """x / 6 + 1/2 kept within [0, 1]; PyTorch's and MobileNetV3's (ONNX's default slope is 0.2)."""

    name: ClassVar[str] = "hardsigmoid"
    derivative: ClassVar[Derivative] = {"x": "where(abs(x) < 3, g / 6, 0)"}
    formula: ClassVar[str | None] = "clip(x / 6 + 0.5, 0, 1)"
    call: ClassVar[str] = "F.hardsigmoid"
    module: ClassVar[str] = "nn.Hardsigmoid"
    domain: ClassVar[tuple[float, float]] = (-5.0, 5.0)


@register
@final
class Hardswish(Activation):
    """x * hardsigmoid(x). Howard et al. 2019, arXiv:1905.02244."""

    name: ClassVar[str] = "hardswish"
    derivative: ClassVar[Derivative] = {"x": "where(x >= 3, g, where(x > -3, g * (x / 3 + 0.5), 0))"}
    formula: ClassVar[str | None] = "x * hardsigmoid(x)"
    call: ClassVar[str] = "F.hardswish"
    module: ClassVar[str] = "nn.Hardswish"
    domain: ClassVar[tuple[float, float]] = (-5.0, 5.0)
