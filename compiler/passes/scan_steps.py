"""A cell's step as a list of single array calls, so that a printer can give each of them the memory it writes to.

Contract: the steps compute what the graph computes, in the same order; an op is cut into calls wherever its NumPy text is made of
NumPy's element-wise functions, operators, `@` and `.T` alone, and a choice whatever its text. Any other op is one step called `text`,
printed as it is.
Non-goals: which memory, which order, what is inside the loop.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Node, Value
from compiler.ir.op import Code, Lowering
from compiler.ir.types import DType, TensorType, broadcast
from compiler.ops.elementwise import Where
from compiler.passes.expand import Probe, expand, has_form

Operand: TypeAlias = Value | float
"""A value, or a number that is written out."""

OPERATORS: Final[dict[type[ast.AST], str]] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "remainder",
    ast.Pow: "power",
    ast.MatMult: "matmul",
    ast.Gt: "greater",
    ast.Lt: "less",
    ast.GtE: "greater_equal",
    ast.LtE: "less_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
}
TRUTHS: Final = frozenset({"greater", "less", "greater_equal", "less_equal", "equal", "not_equal"}) | {
    f"logical_{name}" for name in ("and", "or", "not")
}
FUNCTIONS: Final = TRUTHS | frozenset(
    [
        "add",
        "subtract",
        "multiply",
        "divide",
        "power",
        "maximum",
        "minimum",
        "negative",
        "abs",
        "absolute",
        "sign",
        "exp",
        "expm1",
        "log",
        "log1p",
        "log2",
        "sqrt",
        "square",
        "sin",
        "cos",
        "tan",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "arctanh",
        "floor",
        "ceil",
        "trunc",
        "rint",
        "reciprocal",
        "copysign",
        "cbrt",
    ]
)
"""NumPy's element-wise functions that take `out`."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One array call. `function` is a name of FUNCTIONS, or:

    `matmul` (two operands), `transpose` (a matrix), `where` (condition and two), `contract` (the sum of the products of pairs of
    operands), `text` (whatever `node` is).
    """

    function: str
    operands: tuple[Operand, ...]
    result: Value
    node: Node | None = None

    @property
    def values(self) -> tuple[Value, ...]:
        return tuple(item for item in self.operands if isinstance(item, Value))

    @property
    def is_elementwise(self) -> bool:
        return self.function in FUNCTIONS or self.function == "where"


@final
class Unsupported(Exception):
    """A graph that cannot be cut into steps: it calls, draws, or holds tensors of ops."""


@final
@dataclass(frozen=True, slots=True)
class Cut:
    """The steps of a graph, and the numbers and other values that some of its values are."""

    steps: list[Step]
    same: dict[Value, Operand]

    def resolve(self, value: Value) -> Operand:
        return self.same.get(value, value)


def cut_steps(graph: Graph) -> Cut:
    """The steps of a flat graph; raises Unsupported."""
    cutter = _Cutter()
    for node in expand(graph, _prefers_formula).nodes:
        cutter.visit(node)
    return Cut(cutter.steps, cutter.same)


def _prefers_formula(node: Node) -> bool:
    """Whether an element-wise op is better cut by its formula than called as the function it has."""
    if node.op.formula is None or not node.op.broadcasts:
        return False
    return not has_form(node, node.op.numpy) or _parse(node) is None


def _parse(node: Node) -> ast.expr | None:
    """The NumPy text of a node as a tree; None where anything but single calls stands in it. Operands are `v0`, `v1` …"""
    if any(isinstance(getattr(node.op, item.name), Dim) for item in dataclasses.fields(node.op)):
        return None
    try:
        text = node.op.numpy(Probe(node), *(Code(f"v{index}") for index in range(len(node.operands))))
        tree = ast.parse(text, mode="eval").body
    except (NotImplementedError, SyntaxError):
        return None
    return tree if _is_plain(tree) else None


def _is_plain(tree: ast.expr) -> bool:
    match tree:
        case ast.Name():
            return True
        case ast.Constant(value=bool() | int() | float()):
            return True
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return _is_plain(inner)
        case ast.BinOp(left=left, op=op, right=right):
            return type(op) in OPERATORS and _is_plain(left) and _is_plain(right)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return type(op) in OPERATORS and _is_plain(left) and _is_plain(right)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr=name), args=args, keywords=[]):
            return (name in FUNCTIONS or name == "where") and all(map(_is_plain, args))
        case ast.Attribute(value=ast.Name(), attr="T"):
            return True
    return False


@final
class _Cutter:
    """Collects steps; `same` maps a value to the number or other value that it is."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.same: dict[Value, Operand] = {}

    def visit(self, node: Node) -> None:
        if node.parameters or node.op.random or len(node.results) != 1:
            raise Unsupported(node.op.name)
        (result,) = node.results
        operands = tuple(self.same.get(value, value) for value in node.operands)
        number = _number(node)
        if number is not None:
            self.same[result] = number
            if result.type.rank:
                self.steps.append(Step("text", (), result, node))
            return
        if len(operands) == 1 and _keeps(node) and isinstance(operands[0], Value):
            self.same[result] = operands[0]
            return
        if isinstance(node.op, Where) and {value.type.dtype for value in node.operands[1:]} == {result.type.dtype}:
            self.steps.append(Step("where", operands, result))
            return
        tree = _parse(node)
        if tree is None:
            self.steps.append(Step("text", self._filled(node, operands), result, node))
            return
        if isinstance(tree, ast.Name):
            self.same[result] = operands[int(tree.id[1:])]
            return
        elementwise = node.op.broadcasts
        self._cut(tree, operands if elementwise else self._filled(node, operands), result)

    @staticmethod
    def _filled(node: Node, operands: tuple[Operand, ...]) -> tuple[Operand, ...]:
        """Operands of an op that is printed as it is: a tensor of one number stays a tensor."""
        pairs = zip(node.operands, operands, strict=True)
        return tuple(value if isinstance(operand, float) and value.type.rank else operand for value, operand in pairs)

    def _cut(self, tree: ast.expr, operands: tuple[Operand, ...], result: Value | None) -> Operand:
        """Steps for a tree, into `result` where given."""

        def cut(*inner: ast.expr) -> tuple[Operand, ...]:
            return tuple(self._cut(item, operands, None) for item in inner)

        match tree:
            case ast.Name(id=name):
                return operands[int(name[1:])]
            case ast.Constant(value=bool() | int() | float() as value):
                return float(value)
            case ast.UnaryOp(operand=inner):
                (made,) = cut(inner)
                return -made if isinstance(made, float) and result is None else self._add("negative", (made,), result)
            case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._add(OPERATORS[type(op)], cut(left, right), result)
            case ast.Call(func=ast.Attribute(attr=name), args=args):
                return self._add(name, cut(*args), result)
            case ast.Attribute(value=inner):
                return self._add("transpose", cut(inner), result)
        raise AssertionError(ast.dump(tree))

    def _add(self, function: str, operands: tuple[Operand, ...], result: Value | None) -> Value:
        made = result or Value(step_type(function, operands), "part")
        self.steps.append(Step(function, operands, made))
        return made


def _number(node: Node) -> float | None:
    """The number that a node is everywhere: of a constant, or of a tensor filled with one."""
    if node.operands:
        return None
    value = getattr(node.op, "value", None)
    return float(value) if isinstance(value, bool | int | float) else None


def _keeps(node: Node) -> bool:
    """Whether a node gives its one operand as it is: it is reshaped or repeated to the shape that it has."""
    if node.operands[0].type != node.results[0].type or node.op.family not in ("shape", "repeat"):
        return False
    text = node.op.numpy(Probe(node), Code("v0"))
    return text.startswith(("v0.reshape(", "np.broadcast_to(v0"))


def step_type(function: str, operands: Iterable[Operand]) -> TensorType:
    """The type that an element-wise function, a product or a transposition gives."""
    types = [item.type for item in operands if isinstance(item, Value)]
    if function == "transpose":
        (matrix,) = types
        return TensorType(matrix.dtype, matrix.shape[::-1])
    if function == "matmul":
        x, y = types
        return TensorType(x.dtype, (*broadcast(x.shape[:-2], y.shape[:-2]), *x.shape[-2:-1], y.shape[-1]))
    dtype = DType.bool if function in TRUTHS else next((item.dtype for item in types if item.dtype.is_float), types[0].dtype)
    return TensorType(dtype, broadcast(*(item.shape for item in types)))


@final
class SizedLowering(Lowering):
    """Prints one node with sizes under the names given; `used` collects the functions that it calls."""

    def __init__(self, node: Node, sizes: dict[str, str], used: dict[str, Callable[..., Any]]) -> None:
        self.operand_types = node.operand_types
        self.result_types = node.result_types
        self._sizes = sizes
        self._used = used

    def dim(self, dim: Dim) -> str:
        return dim.python(self._sizes)

    def use(self, function: Callable[..., Any]) -> str:
        self._used[function.__name__] = function
        return function.__name__
