"""Functions of training programs: `grad`, `replay`, and `generate`, whose value only a sample takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, final

from compiler.diagnostics import Label
from compiler.front import ast
from compiler.front.binding import bind
from compiler.front.builder import GraphBuilder, Place
from compiler.front.calls import coerce, complete, report_unknown_names, split_operands
from compiler.front.scope import Frame, Task
from compiler.front.values import POISON, Argument, Function, Generated, OpFunction, Partial
from compiler.ir.graph import Call, Node, Value
from compiler.ir.reach import needed_nodes
from compiler.ir.signature import Positive, PositiveFloat, signature_of
from compiler.ops.program import Gradient, Replay

PLACES: Final[dict[str, tuple[Place, ...]]] = {
    "grad": ("step", "metric", "sample", "carry", "assert"),
    "replay": ("step", "metric", "sample", "carry", "assert"),
    "generate": ("sample",),
}
"""Where each may stand. A `let` of the program stands everywhere: `replay` in what is no step is refused when it is read."""


@final
@dataclass(frozen=True)
class Generation:
    """How text is written; characters are drawn from softmax(logits / temperature)."""

    name: ClassVar[str] = "generate"
    operands: ClassVar[tuple[str, ...]] = ("logits",)
    prompt: str = "\n"
    length: Positive = 200
    temperature: PositiveFloat = 1.0


def _builder_of(frame: Frame, name: str, partial: Partial) -> GraphBuilder | None:
    """The graph that a call adds to; None, reported, where the function has no place."""
    builder = frame.builder
    if builder is not None and builder.place in PLACES[name]:
        return builder
    if name == "generate":
        message, help_text = "`generate` stands only under `sample`", 'write `sample: {text: "generate(net(text))"}`'
    else:
        message = f"`{name}` belongs to the training program: steps and their `let`"
        help_text = "write it in a step, on what the network gives"
    frame.sink.report("NL410", message, partial.span, help=help_text, notes=frame.notes)
    return None


def _arguments(partial: Partial, incoming: Argument | None) -> list[Argument]:
    return [*([incoming] if incoming is not None else []), *partial.arguments]


def _grad(frame: Frame, partial: Partial, incoming: Argument | None) -> Any:
    """`grad(y, x)`: the gradient of sum(y) with respect to x."""
    arguments = _arguments(partial, incoming)
    if partial.keywords or len(arguments) != 2:
        message = "`grad` takes two tensors: what is differentiated, and by what"
        frame.sink.report("NL307", message, partial.span, help="write `grad(critic(mix), mix)`", notes=frame.notes)
        return POISON
    builder = _builder_of(frame, "grad", partial)
    y, x = (coerce(frame, item) for item in arguments)
    if builder is None or not isinstance(y, Value) or not isinstance(x, Value) or not frame.elaboration.spend(partial.span):
        return POISON
    for value, argument in zip((y, x), arguments, strict=True):
        if not value.type.dtype.is_float:
            message = f"only floating-point numbers have gradients, but `{argument.text}` is {value.type}"
            help_text = "differentiate an output of a network by its input, or by a value that it is made of"
            frame.sink.report("NL411", message, argument.span, help=help_text, notes=frame.notes)
            return POISON
    if not _depends(frame, builder, (y, x), arguments):
        return POISON
    return builder.add(Gradient(), (y, x), partial.span)[0]


def _depends(frame: Frame, builder: GraphBuilder, pair: tuple[Value, Value], arguments: list[Argument]) -> bool:
    """Whether a gradient of y reaches x; reports where none does, and what is in the way."""
    (y, x), known = pair, {pair[1]: frozenset((pair[1],))}
    nodes = builder.made()
    reach = frame.elaboration.reach
    if x in reach.trace(nodes, known).get(y, ()):
        return True
    (first, second), help_text = arguments, None
    message = f"`{first.text}` does not depend on `{second.text}`"
    also = [Label(second.span, "nothing that is differentiated is made of this tensor")]
    if y is x or any(x in node.operands for node in needed_nodes(nodes, y)):
        message = f"no gradient of `{first.text}` reaches `{second.text}`"
        also = describe_cuts(reach.cuts(nodes, y, known, x)) or also
        help_text = "let floating-point values alone lead from one to the other"
    elif not isinstance(second.expr, ast.Name):
        help_text = f"name it under `let`, such as `x: {second.text}`, and use the name in both places"
    else:
        help_text = f"differentiate what is computed from `{second.text}`"
    frame.sink.report("NL411", message, first.span, also=tuple(also), help=help_text, notes=frame.notes)
    return False


def describe_cuts(nodes: list[Node]) -> list[Label]:
    """Labels of what no gradient goes through, the first alone."""
    for node in nodes:
        if node.span is not None:
            if isinstance(node.op, Replay):
                return [Label(node.span, "earlier examples, which no gradient goes through")]
            what = f"`{node.op.graph.name}`" if isinstance(node.op, Call) else "this"
            return [Label(node.span, f"no gradient goes through {what}")]
    return []


def _replay(frame: Frame, partial: Partial, incoming: Argument | None) -> Task:
    """`replay(value, 50)`: a buffer of earlier examples."""
    if _builder_of(frame, "replay", partial) is None:
        return POISON
    made = yield complete(frame, Partial(OpFunction(Replay), partial.arguments, partial.keywords, partial.span, partial.text), incoming)
    if isinstance(made, Function):
        return partial
    if isinstance(made, Value) and not made.type.shape:
        message = "`replay` keeps examples, which a single number has none of"
        frame.sink.report("NL412", message, partial.span, help="give it a batch: `replay(G(z), 50)`", notes=frame.notes)
        return POISON
    return made


def _generate(frame: Frame, partial: Partial, incoming: Argument | None) -> Any:
    """`generate(logits, prompt="ROMEO:")`: text, character by character."""
    if _builder_of(frame, "generate", partial) is None:
        return POISON
    report_unknown_names(frame, list(partial.keywords.values()))
    signature = signature_of(Generation)
    split = split_operands(partial, signature.operands, incoming)
    if split is None:
        return partial
    (logits, *surplus), rest = split
    keywords = {name: item for name, item in partial.keywords.items() if name not in signature.operands}
    bound = bind(frame, signature, signature.attributes, [*surplus, *rest], keywords, partial.span)
    value = coerce(frame, logits)
    if bound is None or not isinstance(value, Value):
        return POISON
    made = Generation(**bound.values)
    if not made.prompt:
        frame.sink.report(
            "NL305", "`prompt` is empty: text begins with at least one character", partial.span, help='write `prompt="ROMEO:"`'
        )
        return POISON
    return Generated(value, made.prompt, made.length, made.temperature, logits)


PROGRAM_BUILTINS: dict[str, Callable[[Frame, Partial, Argument | None], Any]] = {
    "grad": _grad,
    "replay": _replay,
    "generate": _generate,
}
