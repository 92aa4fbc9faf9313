"""Gradients of weights as C: products of all rows of a chunk, turned, by all its rows, added up from chunk to chunk.

The threads share the rows of the gradients: each has some of all of them, and reads every row of the chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from compiler.backends.native_pointers import Pointers
from compiler.backends.scan_kernels import Kernel
from compiler.passes.scan_steps import Step

USED: Final = ("T", "N", "chunk", "start", "count")


def print_outer(kernel: Kernel, name: str, steps: Sequence[Step], sizes: Sequence[str]) -> tuple[str, int]:
    """The function `name` of the products of pairs of values, and how many arrays it takes; its call goes to the kernel."""
    pointers = Pointers(kernel)
    lines: list[str] = []
    outputs: list[str] = []
    offset = work = 0
    for index, step in enumerate(steps):
        left, right = (pointers.name(kernel.memory.places[value]) for value in step.values)
        down, across = (dim.constant or 0 for dim in step.result.type.shape)
        lines.append(f"add_outer(first - {offset}, last - {offset}, {down}, {across}, count * N, {left}, {right}, out_{index}, fresh);")
        outputs.append(kernel.names.claim("product"))
        kernel.head.add(f"{outputs[-1]} = np.empty(({down}, {across}), dtype)")
        for count, gradient in enumerate(kernel.finals.get(step.result, [])):
            kernel.tail.add(f"{gradient} = {outputs[-1]}{'.copy()' if count else ''}")
        offset += down
        work += down * across
    numbers = "".join(f", ptrdiff_t {size}" for size in ("part", *sizes))
    outs = "".join(f", real *out_{index}" for index in range(len(outputs)))
    head = f"void {name}(ptrdiff_t first, ptrdiff_t last{numbers}{pointers.parameters()}{outs})"
    unused = [f"(void){size};" for size in ("part", *sizes)]
    start = ["const ptrdiff_t t = 0;", "const int fresh = start + count == T;"]
    body = "\n".join("    " + line for line in (*unused, *start, *pointers.declare(), *lines))
    addresses = kernel.names.claim("addresses")
    kernel.static.append(f"{addresses} = array_addresses({', '.join([*pointers.arguments(), *outputs])})")
    given = ", ".join(size if size in USED else "0" for size in sizes)
    kernel.body.add(f"run_rows({name}, {offset}, {max(1, work // offset)} * rows, threads, ({given}), {addresses})")
    return f"{head}\n{{\n{body}\n}}\n", len(pointers.slabs()) + len(outputs)
