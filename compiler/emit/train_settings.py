"""Optimizers and schedules of a program as Python text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from compiler.ir.training import (
    Adagrad,
    Adam,
    AdamW,
    Constant,
    Cosine,
    Exponential,
    Lbfgs,
    Linear,
    Momentum,
    Optimizer,
    RmsProp,
    Schedule,
    Sgd,
    StepDecay,
)

TORCH_NAMES: Final[Mapping[type[Optimizer], str]] = {
    Sgd: "SGD",
    Momentum: "SGD",
    RmsProp: "RMSprop",
    Adam: "Adam",
    AdamW: "AdamW",
    Adagrad: "Adagrad",
    Lbfgs: "LBFGS",
}
"""The classes of torch.optim."""
WORDS: Final = {"lr": "learning_rate"}
"""What settings are called in names of functions, where it is another word."""


def print_optimizer(record: Optimizer, parameters: str, schedules: Mapping[str, str]) -> str:
    """The call that makes the optimizer; `schedules` are the functions of settings that change. Torch's defaults are left out."""
    settings = [f"{name}={_setting(record, name, schedules)}" for name in _told(record)]
    match record:
        case Lbfgs():
            pass
        case RmsProp():
            settings.append("foreach=True")
        case Adagrad():
            settings.append('fused=DEVICE == "cpu"')
        case _:
            settings.append("fused=True")
    return f"torch.optim.{TORCH_NAMES[type(record)]}({', '.join([parameters, *settings])})"


def _told(record: Optimizer) -> list[str]:
    """The settings that are not torch's defaults, and the learning rate."""
    standard = Sgd(0.0) if isinstance(record, Momentum) else type(record)(**({"lr": 0.0} if isinstance(record, Sgd) else {}))
    names = [item.name for item in fields(record)]
    return [name for name in names if name == "lr" or getattr(record, name) != getattr(standard, name)]


def _setting(record: Optimizer, name: str, schedules: Mapping[str, str]) -> str:
    return f"{schedules[name]}(0)" if name in schedules else print_setting(getattr(record, name))


def print_setting(value: Any) -> str:
    """A setting as torch takes it: real numbers are floats."""
    if isinstance(value, tuple):
        return f"({', '.join(map(print_setting, value))})"
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value)


def scheduled(record: Optimizer) -> dict[str, Schedule]:
    """The settings that change over the run."""
    return {name: value for name, value in vars(record).items() if isinstance(value, Schedule)}


def print_schedule(name: str, schedule: Schedule) -> list[str]:
    """The function of a schedule: the same operations, in the same order, as `Schedule.at`."""
    doc, lines = _schedule_body(schedule)
    return [f"def {name}(iteration: int) -> float:", f'    """{doc}"""', *(f"    {line}" for line in lines)]


def _schedule_body(schedule: Schedule) -> tuple[str, list[str]]:
    match schedule:
        case Constant(value, warmup):
            return _risen(f"Always {float(value)}", f"{float(value)}", warmup)
        case StepDecay(value, every, gamma, warmup):
            doc = f"{float(value)}, times {gamma} every {every} iterations"
            return _risen(doc, f"{float(value)} * {gamma} ** (iteration // {every})", warmup)
        case Exponential(value, gamma, warmup):
            return _risen(f"{float(value)}, times {gamma} every iteration", f"{float(value)} * {gamma}**iteration", warmup)
        case Linear(value, end, hold, warmup):
            held = f"max(iteration - {hold}, 0) / max(ITERATIONS - {hold}, 1)" if hold else "iteration / max(ITERATIONS, 1)"
            doc = f"{float(value)}{f' for {hold} iterations' if hold else ''}, then a straight line to {float(end)}"
            sign = "-" if end < value else "+"
            moved = f"({float(value)} {sign} {abs(float(end - value))} * min(share, 1.0))"
            doc, lines = _risen(doc, moved if warmup else moved[1:-1], warmup)
            return doc, [f"share = {held}", *lines]
        case Cosine(value, end, warmup):
            return _cosine(float(value), float(end), warmup)
    raise ValueError(f"the schedule {schedule.name} has no text")


def _risen(doc: str, text: str, warmup: int) -> tuple[str, list[str]]:
    if not warmup:
        return f"{doc}.", [f"return {text}"]
    return f"{doc}, after a rise over {warmup} iterations.", [f"return {text} * min((iteration + 1) / {warmup}, 1.0)"]


def _cosine(value: float, end: float, warmup: int) -> tuple[str, list[str]]:
    doc = f"Half a cosine from {value} to {end}"
    moved = f"{value - end} * (1 + math.cos(math.pi * min(share, 1.0))) / 2"
    last = f"return {moved}" if end == 0 else f"return {end} + {moved}"
    if not warmup:
        return f"{doc}.", ["share = iteration / max(ITERATIONS, 1)", last]
    return f"{doc}, after a rise over {warmup} iterations.", [
        f"if iteration < {warmup}:",
        f"    return {value} * min((iteration + 1) / {warmup}, 1.0)",
        f"share = (iteration - {warmup}) / max(ITERATIONS - {warmup}, 1)",
        last,
    ]
