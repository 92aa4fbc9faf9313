"""Computes the weights of networks that are prepared for evaluation alone, from those that the spec means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from compiler.passes.fold_batch_norm import Folding

if TYPE_CHECKING:
    import numpy as np


def fold_arrays(arrays: Mapping[str, np.ndarray], foldings: Iterable[Folding]) -> dict[str, np.ndarray]:
    """A network's arrays by key after the foldings, computed in double precision, each as its weight's type."""
    import numpy as np

    made = dict(arrays)
    for item in foldings:
        weight, mean, variance = (made[key] for key in (item.weight, item.mean, item.variance))
        scale = _read(made, item.scale, 1.0) / np.sqrt(variance.astype(np.float64) + item.eps)
        bias = made[item.bias].astype(np.float64) if item.biased else 0.0
        shape = (item.groups, -1, *weight.shape[1:])
        filters = scale.reshape((item.groups, 1, -1) if item.transposed else (1, -1, 1))
        parts = weight.reshape(shape).astype(np.float64)
        parts *= filters.reshape(*filters.shape, *(1,) * (parts.ndim - 3))
        made[item.weight] = parts.reshape(weight.shape).astype(weight.dtype)
        made[item.bias] = ((bias - mean) * scale + _read(made, item.shift, 0.0)).astype(weight.dtype)
        for key in item.taken:
            del made[key]
    return made


def _read(arrays: Mapping[str, np.ndarray], key: str | None, otherwise: float) -> Any:
    return otherwise if key is None else arrays[key].astype("f8")
