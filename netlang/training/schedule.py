"""When a step runs, and how many iterations a program has."""

from __future__ import annotations

import math

from compiler.ir.training import Program, Step
from netlang.training.failures import failure


def is_due(step: Step, iteration: int) -> bool:
    """Whether a step runs in iteration `iteration` (from 0): from `after` on, each `every`-th, before `until`."""
    return iteration >= step.after and (step.until is None or iteration < step.until) and (iteration - step.after) % step.every == 0


def count_batches(program: Program, reads: tuple[bool, ...], iteration: int) -> int:
    """Batches of `train` that an iteration takes: one for all steps without `repeat`, one for each repetition of the others."""
    due = [step for step, reading in zip(program.steps, reads, strict=True) if reading and is_due(step, iteration)]
    return sum(step.repeat for step in due if step.repeat > 1) + int(any(step.repeat == 1 for step in due))


def count_iterations(program: Program, reads: tuple[bool, ...], batches_per_epoch: int | None) -> int:
    """The iterations of a whole run; `reads` says which steps read `train`, an epoch of which has `batches_per_epoch`.

    Raises SpecError NL723 where `epochs` are wanted but steps read too little to ever complete them.
    """
    if program.iterations is not None:
        return program.iterations
    wanted = (program.epochs or 0) * (batches_per_epoch or 0)
    if not wanted or not any(reads):
        raise _never_ends()
    if all(step.every == 1 and step.after == 0 and step.until is None for step in program.steps):
        return -(-wanted // count_batches(program, reads, 0))
    latest = max(max(step.after, step.until or 0) for step in program.steps)
    settled = latest + math.lcm(*(step.every for step in program.steps))
    taken = idle = iteration = 0
    while taken < wanted:
        count = count_batches(program, reads, iteration)
        taken += count
        idle = 0 if count else idle + 1
        if idle > settled:
            raise _never_ends()
        iteration += 1
    return iteration


def _never_ends() -> Exception:
    return failure(
        "NL723",
        "`epochs` counts passes over `train`, but the steps never complete them",
        help="read a field of `train` in a step, or give `iterations` instead",
    )
