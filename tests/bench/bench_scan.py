"""How fast scans of cells are on two threads of a CPU in float32: `python -m tests.bench.bench_scan [cell …]`.

Each cell runs three ways in turn: its own kernel (in C where a compiler is there, else NumPy's; NETLANG_NATIVE=0 turns C off; PyTorch's
where it is one of PyTorch's), the cell written by hand as a PyTorch loop, and nn.LSTM of the same sizes. A training step is forward and
backward with gradients of input and weights. For each multiply-add: the ratio to nn.LSTM divided by that of the multiply-adds of a step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from compiler.backends.scan_torch import load_torch_scan
from compiler.ir.cell import Cell
from tests.bench.paired import paired
from tests.compiler.backends.stepping import cell

SIZES: Final = ((1, 100, 32, 64), (16, 50, 32, 64), (32, 100, 128, 128), (64, 100, 128, 256))
"""Batch, time, width of the input, width of the state."""

Run = Callable[[torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]


def lstm(x: torch.Tensor, p: dict[str, torch.Tensor], *, peephole: bool = False, coupled: bool = False) -> torch.Tensor:
    h = c = x.new_zeros(x.shape[0], p["U_i"].shape[0])
    outputs = []
    for t in range(x.shape[1]):
        step = x[:, t]
        i = step @ p["W_i"].T + h @ p["U_i"].T + p["b_i"]
        i = torch.sigmoid(i + p["p_i"] * c if peephole else i)
        if coupled:
            f = 1 - i
        else:
            f = step @ p["W_f"].T + h @ p["U_f"].T + p["b_f"]
            f = torch.sigmoid(f + p["p_f"] * c if peephole else f)
        g = torch.tanh(step @ p["W_g"].T + h @ p["U_g"].T + p["b_g"])
        c = f * c + i * g
        o = step @ p["W_o"].T + h @ p["U_o"].T + p["b_o"]
        o = torch.sigmoid(o + p["p_o"] * c if peephole else o)
        h = o * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs, 1)


def gru_before(x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    h = x.new_zeros(x.shape[0], p["U_r"].shape[0])
    outputs = []
    for t in range(x.shape[1]):
        step = x[:, t]
        r = torch.sigmoid(step @ p["W_r"].T + h @ p["U_r"].T + p["b_r"])
        z = torch.sigmoid(step @ p["W_z"].T + h @ p["U_z"].T + p["b_z"])
        n = torch.tanh(step @ p["W_n"].T + (r * h) @ p["U_n"].T + p["b_n"])
        h = (1 - z) * n + z * h
        outputs.append(h)
    return torch.stack(outputs, 1)


def gru(x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    h = x.new_zeros(x.shape[0], p["U_r"].shape[0])
    outputs = []
    for t in range(x.shape[1]):
        step = x[:, t]
        r = torch.sigmoid(step @ p["W_r"].T + p["b_xr"] + h @ p["U_r"].T + p["b_hr"])
        z = torch.sigmoid(step @ p["W_z"].T + p["b_xz"] + h @ p["U_z"].T + p["b_hz"])
        n = torch.tanh(step @ p["W_n"].T + p["b_xn"] + r * (h @ p["U_n"].T + p["b_hn"]))
        h = (1 - z) * n + z * h
        outputs.append(h)
    return torch.stack(outputs, 1)


def rnn(x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    h = x.new_zeros(x.shape[0], p["U"].shape[0])
    outputs = []
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ p["W"].T + h @ p["U"].T + p["b"])
        outputs.append(h)
    return torch.stack(outputs, 1)


def fgr(x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    h = c = i = f = o = x.new_zeros(x.shape[0], p["U_i"].shape[0])
    outputs = []
    for t in range(x.shape[1]):
        step = x[:, t]
        g = torch.tanh(step @ p["W_g"].T + h @ p["U_g"].T + p["b_g"])
        sums = {
            gate: step @ p[f"W_{gate}"].T
            + h @ p[f"U_{gate}"].T
            + i @ p[f"R_i{gate}"].T
            + f @ p[f"R_f{gate}"].T
            + o @ p[f"R_o{gate}"].T
            + p[f"b_{gate}"]
            for gate in "ifo"
        }
        i = torch.sigmoid(sums["i"] + p["p_i"] * c)
        f = torch.sigmoid(sums["f"] + p["p_f"] * c)
        c = f * c + i * g
        o = torch.sigmoid(sums["o"] + p["p_o"] * c)
        h = o * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs, 1)


CELLS: Final[dict[str, tuple[str, Run, tuple[int, int]]]] = {
    "peephole": ("peephole_lstm({H})", lambda x, p: lstm(x, p, peephole=True), (4, 4)),
    "coupled": ("coupled_lstm({H}, peephole=true)", lambda x, p: lstm(x, p, peephole=True, coupled=True), (3, 3)),
    "gru_before": ("gru_before({H})", gru_before, (3, 3)),
    "fgr": ("fgr({H})", fgr, (4, 13)),
    "lstm": ("lstm({H})", lstm, (4, 4)),
    "coupled_plain": ("coupled_lstm({H})", lambda x, p: lstm(x, p, coupled=True), (3, 3)),
    "gru": ("gru({H})", gru, (3, 3)),
    "rnn": ("rnn({H})", rnn, (1, 1)),
}
"""The call, the loop by hand, and how many products a step does with its input and with states."""


def scan_of(made: Cell) -> Run:
    """What a printed module runs."""
    scan = load_torch_scan(made)
    return lambda x, p: scan(x, **p)[0]


def calls(
    run: Callable[[torch.Tensor], torch.Tensor], weights: Sequence[torch.Tensor], x: torch.Tensor
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Forward without gradients, and a training step."""
    grad = torch.ones_like(run(x))
    leaf = x.clone().requires_grad_()

    def forward() -> None:
        with torch.no_grad():
            run(x)

    def step() -> None:
        leaf.grad = None
        for item in weights:
            item.grad = None
        torch.autograd.backward(run(leaf), grad)

    return forward, step


def measure(name: str, size: tuple[int, int, int, int], rounds: int) -> str:
    """One line of the table."""
    call, by_hand, (inward, recurrent) = CELLS[name]
    rows, steps, width, units = size
    made = cell(call.format(H=units), inputs=f"x: [N, T, {width}]")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, steps, width, generator=generator)
    shapes = {item.key: [dim.constant or 0 for dim in item.type.shape] for item in made.graph.parameters}
    weights = {key: ((torch.rand(shape, generator=generator) * 2 - 1) / units**0.5).requires_grad_() for key, shape in shapes.items()}
    module: Any = {"gru": torch.nn.GRU, "rnn": torch.nn.RNN}.get(name, torch.nn.LSTM)(width, units, batch_first=True)
    scan = scan_of(made)
    worst = (scan(x, weights) - by_hand(x, weights)).abs().max().item()
    assert worst < 1e-5, f"{name} {size}: differs by {worst}"
    mine = calls(lambda item: scan(item, weights), list(weights.values()), x)
    loop = calls(lambda item: by_hand(item, weights), list(weights.values()), x)
    theirs = calls(lambda item: module(item)[0], list(module.parameters()), x)
    gates = {"gru": 3, "rnn": 1}.get(name, 4)
    work = (inward * width + recurrent * units) / (gates * (width + units))
    cells = [f"{name:<14}", f"{size!s:<20}"]
    for index in range(2):
        hand, kernel = paired(mine[index], loop[index], rounds), paired(mine[index], theirs[index], rounds)
        ratios = f"loop {hand.median:5.2f}  vendor {kernel.median:5.2f}  a multiply-add {kernel.median / work:5.2f}"
        cells.append(f"{kernel.first * 1e3:8.2f} ms  {ratios}")
    return "  |  ".join(cells)


def main() -> None:
    torch.set_num_threads(2)
    print(f"{'cell':<14}  |  {'(B, T, I, H)':<20}  |  forward{'':<52}  |  training step")
    for name in sys.argv[1:] or CELLS:
        for size in SIZES:
            print(measure(name, size, 12 if size[3] > 64 else 30), flush=True)


if __name__ == "__main__":
    main()
