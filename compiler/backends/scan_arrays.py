"""What printed scans share on both back ends: sequences [N, T, …] as steps [T, N, …], and which rows go on.

A row that is over goes through its last valid step again and again, and what comes out is thrown away: numbers beyond its end are
never looked at, so that they cannot make gradients infinite (0 times the slope of log at 0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compiler.ir.op import emitted

if TYPE_CHECKING:
    import numpy as np
    import torch


@emitted
def require_steps(count: int) -> None:
    """Refuse a sequence without steps, for it has no last one."""
    if count == 0:
        raise ValueError("a scan needs one step at least: its sequence has none")


@emitted
def hold_last_step(sequence: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """As `valid_steps` does for arrays."""
    last = lengths.clamp(min=1)[:, None] - 1
    steps = torch.arange(sequence.shape[1], device=lengths.device)
    return sequence[torch.arange(len(sequence), device=lengths.device)[:, None], torch.minimum(steps, last)]


@emitted
def valid_steps(sequence: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The sequence [N, T, …] with each row's last valid step in place of those beyond its end."""
    last = np.maximum(lengths, 1)[:, None] - 1
    held: np.ndarray = sequence[np.arange(len(sequence))[:, None], np.minimum(np.arange(sequence.shape[1]), last)]
    return held


@emitted
def to_steps(sequence: np.ndarray, lengths: np.ndarray | None, reverse: bool) -> np.ndarray:
    """A sequence [N, T, …] as [T, N, …], contiguous and in the order of the steps."""
    valid = sequence if lengths is None else valid_steps(sequence, lengths)
    return np.ascontiguousarray(in_order(valid.swapaxes(0, 1), reverse))


@emitted
def in_order(steps: np.ndarray, reverse: bool) -> np.ndarray:
    """Steps as they run, or from the order in which they ran: the same turned."""
    return steps[::-1].copy() if reverse else steps


@emitted
def steps_going(lengths: np.ndarray | None, steps: int, ranks: tuple[int, ...], reverse: bool) -> list[np.ndarray]:
    """Which rows go on at each step, [T, N, 1 …], one for each rank of what is masked; nothing without lengths."""
    if lengths is None:
        return []
    going = in_order(np.arange(steps)[:, None], reverse) < lengths
    return [going.reshape(*going.shape, *[1] * (rank - 1)) for rank in ranks]
