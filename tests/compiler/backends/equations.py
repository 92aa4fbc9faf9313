"""Recurrent cells written out with torch, gate by gate, from the papers: oracles that share nothing with the compiler.

Weights are a dictionary by the names of rnn/cells: W multiplies x, U multiplies h, p is a peephole, R leads from a gate to a gate.
Sequences are [N, T, D], states [N, H].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch

Weights: TypeAlias = Mapping[str, torch.Tensor]
States: TypeAlias = dict[str, torch.Tensor]
Step: TypeAlias = Callable[[Weights, torch.Tensor, States], States]
"""Weights, the input of a step [N, D] and the states before, to the states after; the output is `h`."""


def linear(w: Weights, gate: str, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    return x @ w[f"W_{gate}"].T + h @ w[f"U_{gate}"].T + w[f"b_{gate}"]


def greff(*changes: str) -> Step:
    """The LSTM with peepholes of Greff et al. 2017, section II, with these of its changes: `CIFG`, `NP` and so on."""

    def step(w: Weights, x: torch.Tensor, before: States) -> States:
        h, c = before["h"], before["c"]

        def gate(name: str, seen: torch.Tensor) -> torch.Tensor:
            total = linear(w, name, x, h)
            if "NP" not in changes:
                total = total + w[f"p_{name}"] * seen
            if "FGR" in changes:
                for source in "ifo":
                    total = total + before[source] @ w[f"R_{source}{name}"].T
            return torch.sigmoid(total)

        one = torch.ones_like(c)
        block = linear(w, "g", x, h)
        block = block if "NIAF" in changes else torch.tanh(block)
        i = one if "NIG" in changes else gate("i", c)
        f = one if "NFG" in changes else one - i if "CIFG" in changes else gate("f", c)
        after = block * i + c * f
        o = one if "NOG" in changes else gate("o", after)
        y = o * (after if "NOAF" in changes else torch.tanh(after))
        return {"h": y, "c": after} | ({"i": i, "f": f, "o": o} if "FGR" in changes else {})

    return step


def gru_before(w: Weights, x: torch.Tensor, before: States) -> States:
    """Cho et al. 2014, equations 5 to 8: the reset gate before the product."""
    h = before["h"]
    reset, update = torch.sigmoid(linear(w, "r", x, h)), torch.sigmoid(linear(w, "z", x, h))
    return {"h": update * h + (1 - update) * torch.tanh(linear(w, "n", x, reset * h))}


def gru_after(w: Weights, x: torch.Tensor, before: States) -> States:
    """As cuDNN and torch.nn.GRU: the reset gate after the product and its bias."""
    h = before["h"]
    inward = {gate: x @ w[f"W_{gate}"].T + w[f"b_x{gate}"] for gate in "rzn"}
    along = {gate: h @ w[f"U_{gate}"].T + w[f"b_h{gate}"] for gate in "rzn"}
    reset, update = (torch.sigmoid(inward[gate] + along[gate]) for gate in "rz")
    return {"h": update * h + (1 - update) * torch.tanh(inward["n"] + reset * along["n"])}


def minimal(w: Weights, x: torch.Tensor, before: States) -> States:
    """Zhou et al. 2016."""
    h = before["h"]
    forget = torch.sigmoid(linear(w, "f", x, h))
    return {"h": (1 - forget) * h + forget * torch.tanh(linear(w, "n", x, forget * h))}


def elman(w: Weights, x: torch.Tensor, before: States) -> States:
    return {"h": torch.tanh(x @ w["W"].T + before["h"] @ w["U"].T + w["b"])}


EQUATIONS: dict[str, Step] = {
    "rnn({H})": elman,
    "lstm({H})": greff("NP"),
    "lstm_1997({H})": greff("NFG", "NP"),
    "peephole_lstm({H})": greff(),
    "coupled_lstm({H})": greff("CIFG", "NP"),
    "coupled_lstm({H}, peephole=true)": greff("CIFG"),
    "gru({H})": gru_after,
    "gru_before({H})": gru_before,
    "mgu({H})": minimal,
    **{f"{name}({{H}})": greff(name.upper()) for name in ("nig", "nfg", "nog", "niaf", "noaf", "cifg", "np", "fgr")},
}


def run_equations(
    step: Step, weights: Weights, x: torch.Tensor, states: States, lengths: torch.Tensor | None, *, reverse: bool
) -> tuple[torch.Tensor, States]:
    """The outputs [N, T, H], zero beyond a row's length, and the final states."""
    outputs: list[torch.Tensor] = []
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        after = step(weights, x[:, t], states)
        going = torch.ones(len(x), 1, dtype=torch.bool) if lengths is None else (t < lengths)[:, None]
        outputs.append(torch.where(going, after["h"], torch.zeros_like(after["h"])))
        states = {name: torch.where(going, value, states[name]) for name, value in after.items()}
    return torch.stack(outputs[::-1] if reverse else outputs, 1), states
