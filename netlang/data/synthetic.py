"""Data that is drawn: toy problems whose distribution is known exactly. Equal attributes give equal numbers.

`N` is `samples`. A test set of the same problem is the same call with another `seed`: only the samples change, never the problem.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, final

from compiler.front.readers import Reader, ReaderError
from compiler.ir.signature import LARGEST_INTEGER, PositiveFloat, Range
from compiler.ir.types import DType, TensorType
from netlang.data.fields import Count, per_sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Seed = Annotated[int, Range(0, LARGEST_INTEGER)]
Spread = Annotated[float, Range(0, None)]
Several = Annotated[int, Range(2, 10_000)]


@final
@dataclass(frozen=True)
class Ring(Reader):
    """Points from a mixture of Gaussians, their means evenly on a circle, the first at angle 0: the mode-collapse test of GANs.

    Field: `point` f32[N, 2].
    """

    name: ClassVar[str] = "ring"

    modes: Several = 8
    radius: PositiveFloat = 2.0
    std: Spread = 0.02
    samples: Count = 10_000
    seed: Seed = 0

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        return {"point": per_sample(DType.f32, 2)}

    def read(self, folder: Path | None) -> dict[str, Any]:
        generator = _generator(self.seed)
        modes = generator.integers(self.modes, size=self.samples)
        return {"point": _around_circle(generator, modes, self.modes, self.radius, self.std)}


@final
@dataclass(frozen=True)
class Blobs(Reader):
    """Classes that are Gaussian clouds, their means evenly on a circle. Fields: `point` f32[N, 2], `label` i64[N]."""

    name: ClassVar[str] = "blobs"

    classes: Several = 3
    radius: PositiveFloat = 3.0
    std: Spread = 1.0
    samples: Count = 1000
    seed: Seed = 0

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        return {"point": per_sample(DType.f32, 2), "label": per_sample(DType.i64)}

    def read(self, folder: Path | None) -> dict[str, Any]:
        generator = _generator(self.seed)
        labels = generator.integers(self.classes, size=self.samples)
        return {"point": _around_circle(generator, labels, self.classes, self.radius, self.std), "label": labels}


@final
@dataclass(frozen=True)
class Moons(Reader):
    """Two half circles of radius 1 that reach into each other, with Gaussian noise. Fields: `point` f32[N, 2], `label` i64[N]."""

    name: ClassVar[str] = "moons"

    noise: Spread = 0.1
    samples: Count = 1000
    seed: Seed = 0

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        return {"point": per_sample(DType.f32, 2), "label": per_sample(DType.i64)}

    def read(self, folder: Path | None) -> dict[str, Any]:
        import numpy as np

        generator = _generator(self.seed)
        labels = generator.integers(2, size=self.samples)
        angles = generator.uniform(0, math.pi, self.samples)
        upper = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        lower = np.stack([1 - np.cos(angles), 0.5 - np.sin(angles)], axis=1)
        return {"point": _with_noise(generator, np.where(labels[:, None] == 0, upper, lower), self.noise), "label": labels}


@final
@dataclass(frozen=True)
class Spirals(Reader):
    """Arms that wind out from the centre to radius 1, one a class, with Gaussian noise. Fields: `point` f32[N, 2], `label` i64[N]."""

    name: ClassVar[str] = "spirals"

    arms: Several = 2
    turns: PositiveFloat = 1.5
    noise: Spread = 0.01
    samples: Count = 1000
    seed: Seed = 0

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        return {"point": per_sample(DType.f32, 2), "label": per_sample(DType.i64)}

    def read(self, folder: Path | None) -> dict[str, Any]:
        import numpy as np

        generator = _generator(self.seed)
        labels = generator.integers(self.arms, size=self.samples)
        radii = np.sqrt(generator.uniform(0, 1, self.samples))
        angles = 2 * math.pi * (self.turns * radii + labels / self.arms)
        points = radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return {"point": _with_noise(generator, points, self.noise), "label": labels}


@final
@dataclass(frozen=True)
class Gaussian(Reader):
    """Points from one normal distribution, the same in every direction. Field: `point` f32[N, dims]."""

    name: ClassVar[str] = "gaussian"

    dims: Annotated[int, Range(1, 1_000_000)] = 1
    samples: Count = 1000
    mean: float = 0.0
    std: PositiveFloat = 1.0
    seed: Seed = 0

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        return {"point": per_sample(DType.f32, self.dims)}

    def read(self, folder: Path | None) -> dict[str, Any]:
        import numpy as np

        return {"point": _generator(self.seed).normal(self.mean, self.std, (self.samples, self.dims)).astype(np.float32)}


@final
@dataclass(frozen=True)
class LinearRegression(Reader):
    """`target` = slope · point + intercept + noise, points standard normal.

    Fields: `point` f32[N, D], D as many as slopes; `target` f32[N, 1].
    """

    name: ClassVar[str] = "linear_regression"

    slope: tuple[float, ...] = (2.0, -1.0)
    intercept: float = 0.5
    noise: Spread = 0.1
    samples: Count = 1000
    seed: Seed = 0

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        if not self.slope:
            raise ReaderError("a slope has at least one number", attribute="slope", code="NL507")
        return {"point": per_sample(DType.f32, len(self.slope)), "target": per_sample(DType.f32, 1)}

    def read(self, folder: Path | None) -> dict[str, Any]:
        import numpy as np

        generator = _generator(self.seed)
        points = generator.normal(size=(self.samples, len(self.slope)))
        exact = points @ np.array(self.slope)[:, None] + self.intercept
        return {"point": points.astype(np.float32), "target": _with_noise(generator, exact, self.noise)}


@final
@dataclass(frozen=True)
class Adding(Reader):
    """The adding problem of Hochreiter and Schmidhuber 1997: sum the two marked numbers of a sequence, one marked in each half.

    Fields: `row` f32[N, length, 2] (uniform numbers from `low` to 1, marks), `target` f32[N, 1]. Always guessing the mean has a
    squared error of (1 - low)**2 / 6: 1/6 from 0, 2/3 from -1.
    """

    name: ClassVar[str] = "adding"

    length: Annotated[int, Range(2, 100_000)]
    low: Annotated[float, Range(-1, 0)] = 0.0
    samples: Count = 1000
    seed: Seed = 0

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        return {"row": per_sample(DType.f32, self.length, 2), "target": per_sample(DType.f32, 1)}

    def read(self, folder: Path | None) -> dict[str, Any]:
        import numpy as np

        generator = _generator(self.seed)
        rows = np.zeros((self.samples, self.length, 2), np.float32)
        rows[..., 0] = generator.uniform(self.low, 1, (self.samples, self.length))
        half, every = self.length // 2, np.arange(self.samples)
        rows[every, generator.integers(half, size=self.samples), 1] = 1
        rows[every, generator.integers(half, self.length, size=self.samples), 1] = 1
        return {"row": rows, "target": (rows[..., 0] * rows[..., 1]).sum(axis=1, keepdims=True)}


def _generator(seed: int) -> np.random.Generator:
    import numpy as np

    return np.random.default_rng(seed)


def _around_circle(
    generator: np.random.Generator, members: NDArray[np.int64], count: int, radius: float, std: float
) -> NDArray[np.float32]:
    """One point a member, around the member's mean: the mean number k stands at angle 2 pi k / count."""
    import numpy as np

    angles = 2 * math.pi * members / count
    return _with_noise(generator, radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), std)


def _with_noise(generator: np.random.Generator, exact: NDArray[np.float64], std: float) -> NDArray[np.float32]:
    import numpy as np

    return (exact + std * generator.normal(size=exact.shape)).astype(np.float32)
