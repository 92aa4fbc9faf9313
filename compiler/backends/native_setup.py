"""What a scan in C makes of its weights once a call: panels for its products, and vectors that every row has, in one piece of memory.

A weight that is a parameter, turned or times a number, is laid out straight from there; any other is first made by NumPy.
"""

from __future__ import annotations

from typing import Final, final

from compiler.backends.scan_kernels import Kernel
from compiler.ir.graph import Value

PADDED: Final = 32
"""A multiple of the columns of a panel, on any machine."""
ALIGNED: Final = 64
"""Numbers: the start of the memory is moved to a vector's."""


@final
class Setup:
    """Collects weights; `print` gives the C function that lays them out, and its call."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.name = name
        self._kernel = kernel
        self._producer = {step.result: step for step in kernel.program.setup}
        self._size = 0
        self._arrays: dict[str, str] = {}
        self._lines: list[str] = []
        self._vectors: dict[Value, int] = {}

    def add_panels(self, weights: list[Value], lanes: int, factors: int) -> str:
        """Where the panels of a product begin, as C."""
        inner, columns = (dim.constant or 0 for dim in weights[0].type.shape)
        sources = [self._source(value) for value in weights]
        start = self._claim(lanes * factors * inner * (-(-columns // PADDED) * PADDED))
        lists = [", ".join(items) for items in zip(*((name, str(int(turned)), scale) for name, turned, scale in sources), strict=True)]
        self._lines += [
            "{",
            f"    const real *weights[] = {{{lists[0]}}};",
            f"    const int turned[] = {{{lists[1]}}};",
            f"    const real scales[] = {{{lists[2]}}};",
            f"    pack_panels({lanes}, {factors}, {inner}, {columns}, weights, turned, scales, packed + {start});",
            "}",
        ]
        return f"packed + {start}"

    def add_vector(self, value: Value) -> int:
        """Where a vector begins."""
        if value not in self._vectors:
            columns = value.type.shape[-1].constant or 0 if value.type.rank else 1
            name, _, scale = self._source(value)
            start = self._vectors[value] = self._claim(columns)
            self._lines.append(f"for (ptrdiff_t j = 0; j < {columns}; j++)")
            self._lines.append(f"    packed[{start} + j] = {scale} * {name}[j];")
        return self._vectors[value]

    def print(self) -> tuple[str, int, str]:
        """The C function, how many arrays it takes, and the variable with the memory; statements go to the kernel."""
        work = self._kernel.names.claim("work")
        self._kernel.head.add(f"{work} = empty(({self._size + ALIGNED},), dtype)")
        self._kernel.head.add(f"set_up({', '.join([self.name, work, *self._arrays])})")
        given = "".join(f", const real *{name}" for name in self._arrays.values())
        lines = [f"void {self.name}(real *work{given})", "{", "    real *packed = aligned(work);", "    (void)packed;"]
        return "\n".join([*lines, *("    " + line for line in self._lines), "}"]) + "\n", 1 + len(self._arrays), work

    def _claim(self, count: int) -> int:
        start = self._size
        self._size += -(-count // ALIGNED) * ALIGNED
        return start

    def _source(self, value: Value) -> tuple[str, bool, str]:
        """The array that a weight is made of, whether it is turned, and what it is multiplied by."""
        found, turned, scale = value, False, 1.0
        while (step := self._producer.get(found)) is not None:
            numbers = [item for item in step.operands if not isinstance(item, Value)]
            if step.function == "transpose":
                turned = not turned
            elif step.function == "multiply" and len(numbers) == 1 and step.result.type == step.values[0].type:
                scale *= numbers[0]
            else:
                found, turned, scale = value, False, 1.0
                break
            (found,) = step.values
        text = self._kernel.setup_text(found)
        return self._arrays.setdefault(text, f"s{len(self._arrays)}"), turned, f"(real){scale!r}"
