"""What NumPy computes for a training file: the random tensors of a program and its steps, the first values of variables.

NumPy draws them, as in netlang's own runs, so that one seed gives one run on every back end.
"""

from __future__ import annotations

from collections.abc import Callable

from compiler.backends.copying import emitted_names
from compiler.backends.names import Names
from compiler.backends.pieces import Line
from compiler.backends.printer import BodyPrinter, PrintedLowering, Unit, inputs_note, size_lines, tensor_operands
from compiler.backends.sizes import Sizes
from compiler.emit.train_bodies import ROWS, Function, TrainText, lines_text, needs_rows
from compiler.ir.graph import Graph, Node
from compiler.ir.op import Code
from compiler.passes.expand import expand
from compiler.passes.inline import inline

GENERATOR = "generator"


def print_drawing(text: TrainText, drawing: Graph, name: str) -> Function:
    """The function that computes a graph with NumPy: of a generator, then its inputs as arrays, then the number of examples."""
    graph = expand(inline(drawing))
    rows = needs_rows(graph)
    names = Names({*text.file.taken, *emitted_names("np"), GENERATOR, *([ROWS] if rows else [])})
    inputs = {value: names.claim(value.name) for value in graph.inputs}
    sizes = Sizes(list(inputs.items()), names, local=False, given={"N": ROWS})
    units = [Unit(node.operands, node.results, node.entry, _renderer(text, sizes, node), node.op.random) for node in graph.nodes]
    single = len(graph.outputs) == 1
    outputs = {"": next(iter(graph.outputs.values()))} if single else graph.outputs
    whole = Graph(graph.name, graph.kind, graph.inputs, nodes=graph.nodes, entries=graph.entries, outputs=outputs)
    body = BodyPrinter(whole, units, names, inputs, sizes, 1, single=single)
    body.print()
    codes: dict[str, str] = {}
    lines = body.finish_body(lambda found: codes.update(found) or "")
    if single:
        codes[""] = "".join(str(piece) for piece in lines[-1].code).removeprefix("return ")
    head = [Line(1, (line,)) for line in size_lines(inputs, sizes)]
    made = [f"torch.from_numpy({code}).to(DEVICE)" for code in codes.values()]
    kind = "torch.Tensor" if single else f"tuple[{', '.join(['torch.Tensor'] * len(made))}]"
    listed = [f"{GENERATOR}: np.random.Generator", *(f"{item}: np.ndarray" for item in inputs.values()), *([f"{ROWS}: int"] * rows)]
    claimed = text.file.claim(name)
    note = tuple(piece if isinstance(piece, str) else piece.text for piece in inputs_note(inputs, sizes))
    first = Line(0, (f"def {claimed}({', '.join(listed)}) -> {kind}:",), note)
    printed = lines_text([first, *head, *lines[:-1], Line(1, (f"return {', '.join(made)}",))])
    return Function(claimed, "\n".join(printed), (), {value.name: item for value, item in inputs.items()}, rows)


def _renderer(text: TrainText, sizes: Sizes, node: Node) -> Callable[[tuple[Code, ...]], str]:
    def render(codes: tuple[Code, ...]) -> str:
        given = tensor_operands(node, codes, lambda code, dtype: f"np.asarray({code}, np.{dtype.numpy_name})")
        return node.op.numpy(PrintedLowering(node, sizes, text.file.emitted), *given)

    return render


def call_drawing(text: TrainText, function: Function, generators: str, arrays: list[str], rows: str) -> str:
    """The call of such a function with the next of the generators."""
    text.called[function.name] = function
    return f"{function.name}({', '.join([f'next({generators})', *arrays, *([rows] if function.rows else [])])})"
