"""Scikit-learn's handwritten digits: 1,797 grey pictures of 8x8 pixels, part of the UCI set of Alpaydin and Kaynak 1998."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, final

from compiler.front.readers import Reader
from compiler.ir.signature import Range
from compiler.ir.types import DType, TensorType
from netlang.data.fields import per_sample
from netlang.data.packages import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BRIGHTEST = 16
SPLIT_SEED = 0
TEST_SHARE = 0.2


@final
@dataclass(frozen=True)
class Digits(Reader):
    """Handwritten digits 0 to 9, values 0 to 1; four fifths of every class are `train`, one fifth `test`.

    Fields: `image` f32[N, 1, size, size], enlarged from 8x8 by linear interpolation; `label` i64[N]. Needs scikit-learn.
    """

    name: ClassVar[str] = "digits"

    split: Literal["train", "test", "all"] = "train"
    size: Annotated[int, Range(1, 512)] = 8

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        return {"image": per_sample(DType.f32, 1, self.size, self.size), "label": per_sample(DType.i64)}

    def read(self, folder: Path | None) -> dict[str, Any]:
        import numpy as np

        from netlang.data.resize import resize_bilinear

        bunch = require("sklearn.datasets", "scikit-learn", "data").load_digits()
        labels = bunch.target.astype(np.int64)
        images = (bunch.images / BRIGHTEST).astype(np.float32)[:, None]
        if self.split != "all":
            chosen = split_by_class(labels, TEST_SHARE, SPLIT_SEED)[self.split]
            images, labels = images[chosen], labels[chosen]
        return {"image": resize_bilinear(images, self.size, self.size), "label": labels}


def split_by_class(labels: NDArray[np.int64], share: float, seed: int) -> dict[str, NDArray[np.intp]]:
    """Sorted indices of `train` and `test`; of every class the same share, drawn without replacement, is `test`."""
    import numpy as np

    from netlang.data.permutation import permute

    test = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = permute(len(members), (seed, int(label)))
        test.append(members[order[: round(share * len(members))]])
    chosen = np.sort(np.concatenate(test))
    return {"train": np.setdiff1d(np.arange(len(labels)), chosen), "test": chosen}
