"""Optimizer records as torch.optim's objects, fused where torch has that for the device, and their states by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from compiler.ir.training import Adagrad, Adam, AdamW, Lbfgs, Momentum, Optimizer, RmsProp, Schedule, Sgd
from netlang.training.torch_lbfgs import build_lbfgs, read_lbfgs, write_lbfgs

if TYPE_CHECKING:
    import torch

NAMES: Final[dict[type[Optimizer], str]] = {
    Sgd: "SGD",
    Momentum: "SGD",
    RmsProp: "RMSprop",
    Adam: "Adam",
    AdamW: "AdamW",
    Adagrad: "Adagrad",
}


def build_optimizer(record: Optimizer, parameters: Sequence[torch.Tensor], total: int) -> torch.optim.Optimizer:
    """The optimizer with its settings as they are before the first of `total` iterations."""
    import torch

    if isinstance(record, Lbfgs):
        return build_lbfgs(record, list(parameters), float(record.settings(0, total)["lr"]))
    device = parameters[0].device.type
    fused = type(record) is not RmsProp and (device == "cpu" or (device == "cuda" and type(record) is not Adagrad))
    settings = {name: to_setting(value) for name, value in record.settings(0, total).items()}
    made: torch.optim.Optimizer = getattr(torch.optim, NAMES[type(record)])(
        parameters, **settings, **({"fused": True} if fused else {"foreach": True})
    )
    return made


def to_setting(value: object) -> object:
    """Numbers as torch wants them: real ones are floats."""
    if isinstance(value, tuple):
        return tuple(float(item) for item in value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def scheduled_settings(record: Optimizer) -> dict[str, Schedule]:
    """The settings that change over the run."""
    return {name: value for name, value in vars(record).items() if isinstance(value, Schedule)}


def read_state(optimizer: torch.optim.Optimizer, names: Sequence[str], parameters: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of an optimizer's state, called `parameter:what`."""
    import torch

    if isinstance(optimizer, torch.optim.LBFGS):
        return read_lbfgs(optimizer)
    found: dict[str, torch.Tensor] = {}
    for name, parameter in zip(names, parameters, strict=True):
        for what, value in optimizer.state.get(parameter, {}).items():
            if value is None:
                continue
            if not isinstance(value, torch.Tensor):
                raise TypeError(f"the state `{what}` of {type(optimizer).__name__} is no tensor")
            found[f"{name}:{what}"] = value
    return found


def write_state(
    optimizer: torch.optim.Optimizer, names: Sequence[str], parameters: Sequence[torch.Tensor], state: dict[str, torch.Tensor]
) -> None:
    """Put back what `read_state` gave; ValueError where a name or a shape is another optimizer's."""
    import torch

    if isinstance(optimizer, torch.optim.LBFGS):
        write_lbfgs(optimizer, parameters, state)
        return
    known = dict(zip(names, parameters, strict=True))
    optimizer.state.clear()
    for full, value in state.items():
        name, _, what = full.rpartition(":")
        parameter = known.get(name)
        if parameter is None or value.shape not in (parameter.shape, ()):
            raise ValueError(f"`{full}` belongs to no parameter of this optimizer")
        entry: dict[str, Any] = optimizer.state[parameter]
        entry[what] = value.to(parameter.device)
