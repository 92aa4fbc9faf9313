"""Prints scans of cells that PyTorch has a kernel for as calls of that kernel, with its weights stacked from the cell's own.

`torch.lstm` and its like take weights as arguments, so that a cell keeps its parameters and their names; stacking costs a copy of the
weights for each call. The functions are differentiated by torch, as often as wanted, on every device. Rows of different lengths are
not done here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from compiler.backends.execution import execute
from compiler.backends.names import Names, docstring
from compiler.backends.wrapping import wrap
from compiler.ir.cell import Cell
from compiler.passes.scan_recognize import GATES, Kind, VendorCell, Weight

TITLES: Final[dict[Kind, str]] = {
    "lstm": "torch.nn.LSTM",
    "gru": "torch.nn.GRU",
    "rnn_tanh": "torch.nn.RNN",
    "rnn_relu": "torch.nn.RNN with relu",
}
"""What a kernel is called in reports."""
RESERVED: Final = ("torch", "reverse", "sequence", "outputs", "weights", "zeros", "first", "last")


def print_vendor(cell: Cell, vendor: VendorCell, name: str) -> str:
    """The function `name(reverse, sequence, first states…, parameters…)`: outputs [N, T, H], then final states [N, H].

    First states may be None, for zeros.
    """
    names = Names({*RESERVED, name})
    keys = {item.key: names.claim(item.key) for item in cell.graph.parameters}
    states = {state: names.claim(state) for state in cell.states}
    size = cell.graph.inputs[len(cell.inputs)].type.shape[1]
    hidden, *carried = [states[state] for state in vendor.states]
    lines = [*wrap(f"def {name}({', '.join(['reverse', 'sequence', *states.values(), *keys.values()])}):", 0)]
    lines += docstring(f"{cell.name} over time, as {TITLES[vendor.kind]} does it; its gates are {', '.join(GATES[vendor.kind])}.", 1)
    lines.append(f"    zeros = sequence.new_zeros(sequence.shape[0], {size})")
    lines.append("    sequence = sequence.flip(1) if reverse else sequence")
    stacks = [_stack(vendor.input_weights, keys), _stack(vendor.recurrent_weights, keys)]
    biased = any(weight.terms or weight.number for weight in (*vendor.input_biases, *vendor.recurrent_biases))
    if biased:
        stacks += [_stack(group, keys, f"zeros.new_zeros({size})") for group in (vendor.input_biases, vendor.recurrent_biases)]
    lines += ["    weights = [", *(f"        {text}," for text in stacks), "    ]"]
    firsts = [f"(zeros if {state} is None else {state}).unsqueeze(0)" for state in (hidden, *carried)]
    lines.append(f"    first = [{', '.join(firsts)}]" if carried else f"    first = {firsts[0]}")
    results = ", ".join(["outputs", hidden, *carried])
    settings = f"{biased}, 1, 0.0, torch.is_grad_enabled(), False, True"
    lines += wrap(f"{results} = torch.{vendor.kind}(sequence, first, weights, {settings})", 1)
    finals = ", ".join(f"{state}[0]" for state in states.values())
    return "\n".join([*lines, f"    return outputs.flip(1) if reverse else outputs, {finals}"])


def _stack(weights: tuple[Weight, ...], keys: dict[str, str], zeros: str = "") -> str:
    """Weights under each other."""
    texts = [_text(weight, keys, zeros) for weight in weights]
    if len(texts) == 1:
        return texts[0]
    if len(set(texts)) == 1 and texts[0] == zeros:
        return zeros.replace("zeros(", f"zeros({len(texts)} * ")
    return f"torch.cat([{', '.join(texts)}])"


def _text(weight: Weight, keys: dict[str, str], zeros: str) -> str:
    """A weight as an expression of the cell's parameters; `zeros` stands for none."""
    text = ""
    for key, factor in weight.terms:
        name = f"{keys[key]}.T" if key in weight.turned else keys[key]
        part = name if abs(factor) == 1 else f"{abs(factor)!r} * {name}"
        text += f" {'-' if factor < 0 else '+'} {part}" if text else f"{'-' if factor < 0 else ''}{part}"
    if not text:
        return f"{zeros} + {weight.number!r}" if weight.number else zeros
    if not weight.number:
        return text
    return f"{text} {'-' if weight.number < 0 else '+'} {abs(weight.number)!r}"


def load_vendor(cell: Cell, vendor: VendorCell) -> Callable[..., tuple[Any, ...]]:
    """The printed function, running; torch is loaded."""
    text = f"import torch\n\n\n{print_vendor(cell, vendor, 'scan')}\n"
    function: Callable[..., tuple[Any, ...]] = execute(text, f"scan_{cell.name}")["scan"]
    return function
