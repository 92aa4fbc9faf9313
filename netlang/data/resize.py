"""Resampling of small pictures held in arrays. Pixels are samples at half-integer places, as in `align_corners=False`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def resize_bilinear(images: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """`[N, C, H, W]` to `[N, C, height, width]` by linear interpolation along each side; no smoothing when it shrinks."""
    if images.shape[2:] == (height, width):
        return images
    rows = interpolation_matrix(images.shape[2], height)
    columns = interpolation_matrix(images.shape[3], width)
    resized: NDArray[np.float32] = (rows @ images @ columns.T).astype(np.float32)
    return resized


def interpolation_matrix(length: int, wanted: int) -> NDArray[np.float32]:
    """`[wanted, length]`: row i holds the weights of the two samples nearest to (i + 1/2) * length / wanted - 1/2."""
    places = np.clip((np.arange(wanted) + 0.5) * length / wanted - 0.5, 0, length - 1)
    left = np.minimum(places.astype(int), max(length - 2, 0))
    weight = places - left
    matrix = np.zeros((wanted, length), np.float32)
    matrix[np.arange(wanted), left] = 1 - weight
    matrix[np.arange(wanted), np.minimum(left + 1, length - 1)] += weight
    return matrix


def pad_square(images: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """`[N, C, H, W]` with a border of zeros to `[N, C, size, size]`; an odd rest goes to the right and the bottom."""
    top, left = (size - images.shape[2]) // 2, (size - images.shape[3]) // 2
    bottom, right = size - images.shape[2] - top, size - images.shape[3] - left
    return np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right)))
