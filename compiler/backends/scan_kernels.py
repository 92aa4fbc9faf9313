"""Prints a planned scan as two NumPy functions, forward and backward, whose loops over time allocate nothing.

Arrays are time-major, [T, N, …]. Time is cut into chunks, so that what is done for many steps at once stays in the cache and needs
little memory: a chunk's products come first, then its steps, then its sums. `keep` says whether the backward pass will follow; if
not, what only it needs is overwritten chunk by chunk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, final

from compiler.backends.scan_frame import Frame, Lines, number
from compiler.backends.scan_memory import CHUNK, STEP, Place, Run, Slab
from compiler.ir.cell import BATCH
from compiler.ir.graph import Value
from compiler.ir.op import Code
from compiler.ir.types import TensorType
from compiler.passes.scan_algebra import SETUP
from compiler.passes.scan_steps import Operand, SizedLowering, Step

NUMBERS: Final = 2**15
"""How many numbers of a state a chunk has at least: enough for its products to be fast, few enough for its values to stay in the cache."""
STEPS: Final = 4
"""How many steps a chunk has at least."""


@final
class Kernel(Frame):
    """One function while it is printed."""

    def write(self, lines: Lines, step: Step, operands: list[str], out: str, batch: str) -> None:
        """The statements of one call into `out`; `batch` is the text of the number of examples."""
        if step.function == "where":
            condition, chosen, other = operands
            lines.add(f"np.copyto({out}, {other})")
            lines.add(f"np.copyto({out}, {chosen}, where={condition})")
        elif step.function == "text":
            lines.add(f"np.copyto({out}, {self._text(step, operands, batch)})")
        else:
            lines.add(self._call(step, operands, out))

    def _chunk_product(self, left: str, right: str, out: str, step: Step) -> str:
        """A product of matrices with all examples and steps of a chunk as rows."""
        if self.tensors and all(value.type.rank == 2 and value.type.dtype.is_float for value in step.values):
            return f"torch.mm(whole({left}), whole({right}), out=whole({out}))"
        return f"np.matmul({left}, {right}, {out})"

    def _text(self, step: Step, operands: list[str], batch: str) -> str:
        assert step.node is not None
        lowering = SizedLowering(step.node, {**self.sizes, BATCH: batch}, self.used)
        return step.node.op.numpy(lowering, *map(Code, operands))

    def print_loop(self, moves: Iterable[tuple[Place, Place]] = ()) -> None:
        """The steps of the loop, into `body`; `moves` are copies at the end of each step, to and from."""
        if self.native is not None:
            self.native.print_loop(self, moves)
            return
        inner = Lines(self.body.depth + 1)
        for run in self.memory.runs:
            if run.steps[0].function == "contract":
                self._print_contract(inner, run.steps[0])
            else:
                self._print_run(inner, run)
        for target, source in moves:
            inner.add(f"np.copyto({self.loop_view(target)}, {self.loop_view(source)})")
        if not inner.text:
            return
        if self._loop:
            names = ", ".join(name for name, _ in self._loop)
            views = ", ".join(view for _, view in self._loop)
            self.body.add(f"for {names}{',' * (len(self._loop) == 1)} in zip({views}, strict=True):")
        else:
            self.body.add("for _ in range(count):")
        self.body.text += inner.text

    def _print_run(self, lines: Lines, run: Run) -> None:
        first, count = run.steps[0], len(run.steps)
        rank = first.result.type.rank
        if self._is_matrix_product(first):
            self._print_product(lines, run)
            return
        operands = []
        for position, item in enumerate(first.operands):
            items = [step.operands[position] for step in run.steps]
            if not isinstance(item, Value):
                operands.append(number(item))
            elif self.program.level[item] == SETUP:
                product = first.function == "matmul" and position == 1
                values = [value for value in items if isinstance(value, Value)] if position in run.packs else [item]
                laid_out = product or first.is_elementwise
                operands.append(self.pack(values, rank, product=product) if laid_out else self.setup_text(item))
            else:
                shared = len(set(items)) == 1
                operands.append(self.loop_view(self.memory.places[item], 1 if shared else count))
        self.write(lines, first, operands, self.loop_view(self.memory.places[first.result], count), "N")

    def _is_matrix_product(self, step: Step) -> bool:
        """Whether a step multiplies a matrix by weights, so that torch's products may do it."""
        if step.function != "matmul":
            return False
        left, right = step.values
        return left.type.rank == right.type.rank == 2 and right.type.dtype.is_float and self.program.level[right] == SETUP

    def _print_product(self, lines: Lines, run: Run) -> None:
        """One left operand times the weights of a run."""
        first, count = run.steps[0], len(run.steps)
        weight = self.pack([step.values[1] for step in run.steps], 2, product=True)
        left = self.matrix_view(self.memory.places[first.values[0]], count, shared=True)
        out = self.matrix_view(self.memory.places[first.result], count, shared=False)
        lines.add(self.product(left, weight, out))

    def product(self, left: str, weight: str, out: str) -> str:
        """A call in the loop."""
        return f"product({left}, {weight}_matrix, {out})" if self.tensors else f"np.matmul({left}, {weight}, {out})"

    def _print_contract(self, lines: Lines, step: Step) -> None:
        """A sum of products: neighbouring left operands in one call, then added up."""
        pairs = list(zip(step.values[::2], step.values[1::2], strict=True))
        order: dict[Slab, int] = {}
        for left, _ in pairs:
            order.setdefault(self.memory.places[left].slab, len(order))
        pairs.sort(key=lambda pair: (order[self.memory.places[pair[0]].slab], self.memory.places[pair[0]].lane))
        parts: list[list[tuple[Value, Value]]] = []
        for pair in pairs:
            place = self.memory.places[pair[0]]
            before = self.memory.places[parts[-1][-1][0]] if parts else None
            joined = before is not None and before.slab is place.slab and before.lane + 1 == place.lane and before.shift == place.shift
            if joined:
                parts[-1].append(pair)
            else:
                parts.append([pair])
        out = self.loop_view(self.memory.places[step.result])
        for index, part in enumerate(parts):
            lefts = self.matrix_view(self.memory.places[part[0][0]], len(part), shared=False)
            weights = self.pack([value for _, value in part], 2, product=True)
            if len(part) == 1 and index == 0:
                lines.add(self.product(lefts, weights, self.matrix_view(self.memory.places[step.result], 1, shared=False)))
                continue
            scratch = self._scratch(step.result.type, len(part))
            lines.add(self.product(lefts, weights, f"{scratch}_matrix" if self.tensors else scratch))
            if len(part) > 1:
                total = out if index == 0 else f"{scratch}[0]"
                lines.add(f"np.add.reduce({scratch}, 0, None, {total})")
                scratch = total
            if index:
                lines.add(f"np.add({out}, {scratch}, {out})")

    def _scratch(self, type: TensorType, lanes: int) -> str:
        slab = Slab(type, lanes, STEP, "products")
        name = self.declare(slab, "products")
        self.allocate(slab)
        if self.tensors:
            self.static.append(f"{name}_matrix = fixed({name}, {lanes})")
        return name

    # chunks -----------------------------------------------------------------------------------------------------------------

    def print_chunk(self, steps: list[Step], ends: dict[Value, int], offset: int, finals: dict[Value, list[str]]) -> None:
        """Steps for all time steps of a chunk. `ends` are the last uses of values; `finals` are sums over everything, by value."""
        uses = Counter(value for step in self.program.before for value in step.values)
        waiting: dict[Value, list[str]] = {}
        for index, step in enumerate(steps, start=offset):
            value = step.result
            if self._waits_for_bias(step, uses, ends):
                waiting[value] = [self.operand(item) for item in step.operands]
                continue
            if (product := next((item for item in step.values if item in waiting), None)) is not None:
                bias = next(item for item in step.values if item is not product)
                left, right = waiting[product]
                out = self._target(step, index, ends)
                self.body.add(f"torch.addmm(whole({self.operand(bias)}), whole({left}), whole({right}), out=whole({out}))")
                continue
            if step.function == "transpose":
                self.texts[value] = f"{self.operand(step.operands[0])}.T"
                for array in finals.get(value, []):
                    self.body.add(f"{array} += {self.texts[value]}")
                continue
            operands = [self.operand(item) for item in step.operands]
            if not any(BATCH in dim.symbols for dim in value.type.shape[:1]):
                self._print_total(step, operands, finals.get(value, []), alone=value not in ends)
                continue
            out = self._target(step, index, ends)
            if step.function == "contract":
                self._add_products(step, operands, out)
            elif step.function == "matmul":
                self.body.add(self._chunk_product(operands[0], operands[1], out, step))
            else:
                self.write(self.body, step, operands, out, "rows")
            for item in dict.fromkeys((*step.values, value)):
                if ends.get(item, -1) <= index and item in self._borrowed:
                    self._free.setdefault(item.type, []).append(self._borrowed.pop(item))

    def _waits_for_bias(self, step: Step, uses: Counter[Value], ends: dict[Value, int]) -> bool:
        """Whether a product's one use is to have a bias added, so that both are one call."""
        if not self.tensors or step.function != "matmul" or uses[step.result] != 1 or step.result in self.memory.places:
            return False
        if any(value.type.rank != 2 or not value.type.dtype.is_float for value in step.values) or step.result.type.rank != 2:
            return False
        steps = [*self.program.before, *self.program.after]
        user = steps[ends[step.result]] if ends.get(step.result, len(steps)) < len(steps) else step
        others = [value for value in user.values if value is not step.result]
        return user.function == "add" and len(others) == 1 and self.program.level[others[0]] == SETUP and others[0].type.rank == 1

    def operand(self, operand: Operand) -> str:
        """A value in a chunk."""
        if not isinstance(operand, Value):
            return number(operand)
        if operand in self.texts:
            return self.texts[operand]
        if self.program.level.get(operand) == SETUP:
            return self.setup_text(operand)
        name = self.texts[operand] = self.names.claim(f"{self.name_of(operand, operand.name)}_chunk")
        self.body.add(f"{name} = {self.chunk_view(self.memory.places[operand])}")
        return name

    def _target(self, step: Step, index: int, ends: dict[Value, int]) -> str:
        value = step.result
        if value in self.memory.places:
            return self.operand(value)
        if step.is_elementwise and step.function != "where":
            for item in step.values:
                if ends.get(item) == index and item in self._borrowed and item.type == value.type:
                    self._borrowed[value] = self._borrowed.pop(item)
                    self.texts[value] = self.texts[item]
                    return self.texts[value]
        free = self._free.get(value.type, [])
        array = free.pop() if free else self._new_buffer(value.type)
        self._borrowed[value] = array
        name = self.texts[value] = self.names.claim(f"{self.name_of(value, value.name)}_chunk")
        self.body.add(f"{name} = {array}[:count].reshape{self.shape(value.type, batch='rows') if value.type.rank > 1 else '(rows)'}")
        return name

    def _new_buffer(self, type: TensorType) -> str:
        slab = Slab(type, 1, CHUNK, "buffer")
        name = self.declare(slab, "buffer")
        self.allocate(slab)
        return name

    def _add_products(self, step: Step, operands: list[str], out: str) -> None:
        self.body.add(self._chunk_product(operands[0], operands[1], out, step))
        array = self._new_buffer(step.result.type)
        scratch = self.names.claim("products_chunk")
        self.body.add(f"{scratch} = {array}[:count].reshape{self.shape(step.result.type, batch='rows')}")
        for left, right in zip(operands[2::2], operands[3::2], strict=True):
            self.body.add(self._chunk_product(left, right, scratch, step))
            self.body.add(f"np.add({out}, {scratch}, {out})")
        self._free.setdefault(step.result.type, []).append(array)

    def _print_total(self, step: Step, operands: list[str], finals: list[str], *, alone: bool) -> None:
        """A value without examples, summed over those of the chunk; `finals` are the arrays that collect it."""
        text = self._text(step, operands, "rows") if step.function == "text" else self._call(step, operands, "")
        if finals and alone and step.function == "matmul" and self.tensors and all(value.type.rank == 2 for value in step.values):
            left, right = operands
            for array in finals:
                total = f"whole({array})"
                self.body.add(f"torch.addmm({total}, whole({left}), whole({right}), out={total})")
            return
        if finals and alone and step.function == "matmul":
            scratch = self.names.claim("total")
            self.head.add(f"{scratch} = np.empty_like({finals[0]})")
            self.body.add(self._chunk_product(operands[0], operands[1], f"{finals[0]} if first else {scratch}", step))
            self.body.add("if not first:")
            self.body.add(f"    {finals[0]} += {scratch}")
            finals = finals[1:]
            if not finals:
                return
            text = self._call(step, operands, "")
        name = self.texts[step.result] = self.names.claim("total")
        self.body.add(f"{name} = {text}")
        for array in finals:
            self.body.add(f"{array} += {name}")
