"""L-BFGS against torch.optim.LBFGS in float64: the same places after every update, with and without a line search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from compiler.ir.training import Lbfgs
from netlang.training.numpy_lbfgs import Memory, minimize

Array = np.ndarray[Any, Any]


def rosenbrock(x: torch.Tensor) -> torch.Tensor:
    """The valley of Rosenbrock 1960 in as many dimensions as `x` has."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def bowl(x: torch.Tensor) -> torch.Tensor:
    return (torch.arange(1, len(x) + 1) * (x - 3) ** 2).sum() + torch.cosh(x).sum()


def wavy(x: torch.Tensor) -> torch.Tensor:
    return (torch.sin(3 * x) + 0.1 * x**2).sum() + torch.exp(-x).sum()


def follow(record: Lbfgs, function: Any, updates: int, size: int) -> tuple[list[Array], list[Array]]:
    """The places after each update, ours and torch's."""
    start = np.random.default_rng(0).standard_normal(size)
    theirs = torch.tensor(start.copy(), requires_grad=True)
    search = None if record.line_search_fn == "none" else record.line_search_fn
    optimizer = torch.optim.LBFGS(
        [theirs], record.lr, record.max_iter, None, record.tolerance_grad, record.tolerance_change, record.history_size, search  # type: ignore[arg-type]
    )  # fmt: skip

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value: torch.Tensor = function(theirs)
        torch.autograd.backward(value)
        return value

    def evaluate(place: Array) -> tuple[float, Array]:
        tensor = torch.tensor(place.copy(), requires_grad=True)
        value = function(tensor)
        return value.item(), torch.autograd.grad(value, tensor)[0].numpy()

    ours, memory = start.copy(), Memory()
    places: tuple[list[Array], list[Array]] = ([], [])
    for _ in range(updates):
        minimize(record, float(record.lr), ours, evaluate, memory, np)  # type: ignore[arg-type]
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        places[0].append(ours.copy())
        places[1].append(theirs.detach().numpy().copy())
    return places


RECORDS = [
    (Lbfgs(line_search_fn="strong_wolfe"), rosenbrock),
    (Lbfgs(line_search_fn="strong_wolfe", max_iter=5, history_size=3), rosenbrock),
    (Lbfgs(line_search_fn="strong_wolfe", lr=20.0, max_iter=4), rosenbrock),
    (Lbfgs(line_search_fn="strong_wolfe", lr=0.01, max_iter=7), rosenbrock),
    (Lbfgs(line_search_fn="strong_wolfe", lr=3.0), wavy),
    (Lbfgs(line_search_fn="strong_wolfe"), bowl),
    (Lbfgs(lr=0.01, max_iter=4), rosenbrock),
    (Lbfgs(lr=0.5, history_size=2), bowl),
    (Lbfgs(lr=0.3), wavy),
    (Lbfgs(tolerance_grad=1.0, tolerance_change=0.1), bowl),
]


@pytest.mark.parametrize(("record", "function"), RECORDS, ids=lambda item: item.__name__ if callable(item) else repr(item))
@pytest.mark.parametrize("size", [2, 7])
def test_places_are_those_of_torch(record: Lbfgs, function: Any, size: int) -> None:
    ours, theirs = follow(record, function, 6, size)
    for step, (mine, yours) in enumerate(zip(ours, theirs, strict=True)):
        np.testing.assert_allclose(mine, yours, rtol=1e-6, atol=1e-9, err_msg=f"update {step}")
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-9, atol=1e-12)


def test_valley_is_left_at_its_end() -> None:
    ours, _ = follow(Lbfgs(line_search_fn="strong_wolfe"), rosenbrock, 10, 4)
    np.testing.assert_allclose(ours[-1], 1.0, atol=1e-6)
