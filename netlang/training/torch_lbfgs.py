"""The state of torch.optim.LBFGS as tensors by name, and back: counts and numbers are tensors without dimensions, lists are numbered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from compiler.ir.training import Lbfgs

if TYPE_CHECKING:
    import torch

LISTS: Final = ("old_dirs", "old_stps", "ro")
SCRATCH: Final = "al"
PREFIX: Final = "lbfgs:"


def build_lbfgs(record: Lbfgs, parameters: list[torch.Tensor], lr: float) -> torch.optim.Optimizer:
    """torch's optimizer with the record's settings."""
    import torch

    search = None if record.line_search_fn == "none" else record.line_search_fn
    return torch.optim.LBFGS(
        parameters,
        lr=lr,
        max_iter=record.max_iter,
        max_eval=record.most_evaluations,
        tolerance_grad=record.tolerance_grad,
        tolerance_change=record.tolerance_change,
        history_size=record.history_size,
        line_search_fn=search,
    )


def read_lbfgs(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The state by name; empty before the first update."""
    import torch

    found: dict[str, torch.Tensor] = {}
    for state in optimizer.state.values():
        for name, value in state.items():
            if name in LISTS:
                found |= {f"{PREFIX}{name}_{index}": item for index, item in enumerate(value)}
            elif isinstance(value, torch.Tensor):
                found[PREFIX + name] = value
            elif name != SCRATCH:
                found[PREFIX + name] = torch.tensor(value, dtype=torch.int64 if isinstance(value, int) else torch.float64)
    return dict(sorted(found.items()))


def write_lbfgs(optimizer: torch.optim.Optimizer, parameters: Sequence[torch.Tensor], state: dict[str, torch.Tensor]) -> None:
    """Put back what `read_lbfgs` gave; ValueError where it is another optimizer's."""
    import torch

    optimizer.state.clear()
    if not state:
        return
    size = sum(parameter.numel() for parameter in parameters)
    entry: dict[str, Any] = {name: [] for name in LISTS}
    for full, value in state.items():
        name = full.removeprefix(PREFIX)
        stem, _, index = name.rpartition("_")
        if name == full or value.shape not in ((), (size,)):
            raise ValueError(f"`{full}` belongs to no state of lbfgs with these parameters")
        if stem in LISTS:
            entry[stem].append((int(index), value.to(parameters[0].device)))
        elif value.dtype in (torch.int64, torch.float64) and value.dim() == 0:
            entry[name] = value.item()
        else:
            entry[name] = value.to(parameters[0].device)
    for name in LISTS:
        entry[name] = [item for _, item in sorted(entry[name], key=lambda pair: pair[0])]
    optimizer.state[parameters[0]] = entry
