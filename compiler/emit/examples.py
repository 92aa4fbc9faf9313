"""The function at the end of a printed file that shows how it is used: inputs of the right shape, a call."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable

from compiler.backends.names import Names, network_parameter
from compiler.ir.graph import Graph
from compiler.ir.types import DType

OPEN_SIZE = 4
"""What a size that is left open is in an example; the first one, the batch, is 1."""
MAIN = """if __name__ == "__main__":
    example()"""

MadeUp = Callable[[tuple[int, ...], DType], str]


def print_example(
    graph: Graph, networks: Iterable[str], keywords: Iterable[str], made_up: MadeUp, *, before: list[str], after: Callable[[str], list[str]]
) -> str:
    """`example()`: runs a network on inputs that `made_up` prints; `after` prints what is done with the call's text.

    `keywords` are the keyword arguments that the network takes: others of the `networks`, and `generator`.
    """
    several = len(list(networks)) > 1
    lines = ["networks = {name: load(name) for name in NETWORKS}" if several else "network = load()", *before]
    sizes = {name: 1 if index == 0 else OPEN_SIZE for index, name in enumerate(graph.symbols)}
    names = Names({"network", "networks", "generator"})
    given = []
    for value in graph.inputs:
        given.append(names.claim(value.name))
        shape = tuple(dim.evaluate(sizes) for dim in value.type.shape)
        lines.append(f"{given[-1]} = {made_up(shape, value.type.dtype)}")
    known = {network_parameter(name): name for name in networks}
    given += [f'{keyword}=networks["{known[keyword]}"]' if keyword in known else f"{keyword}={keyword}" for keyword in keywords]
    target = f'networks["{graph.name}"]' if several else "network"
    lines += after(f"{target}({', '.join(given)})")
    body = "\n".join(f"    {line}" for line in lines)
    return f'def example() -> None:\n    """Run `{graph.name}` on made-up inputs."""\n{body}\n\n\n{MAIN}'


def keyword_arguments(body: str, class_name: str, method: str) -> list[str]:
    """The names of the keyword-only arguments of a printed class's method."""
    for item in ast.parse(body).body:
        if isinstance(item, ast.ClassDef) and item.name == class_name:
            for function in item.body:
                if isinstance(function, ast.FunctionDef) and function.name == method:
                    return [argument.arg for argument in function.args.kwonlyargs]
    return []
