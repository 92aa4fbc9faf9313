"""What an op writes where it is told is what it gives: every sample of every op with such a form, in f64 and as declared."""

from __future__ import annotations

import re
from typing import Any, final

import numpy as np
import pytest

from compiler.ir.op import Code, Sample
from compiler.ir.types import DType
from tests.compiler.ops import harness


@final
class Work:
    """Scratch memory full of NaN, and two workers that take turns."""

    threads = 2

    def take(self, slot: str, shape: tuple[int, ...], dtype: Any) -> Any:
        assert slot
        return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 7, dtype)

    def share(self, function: Any, count: int) -> None:
        for index in range(count):
            function(index * 2 // count, index)


def text_into(sample: Sample, names: list[str]) -> str | None:
    at = harness.lowering_of(sample)
    return sample.op.numpy_into(at, Code("out"), *map(Code, names)) if at.result.rank else None


def count_owned(sample: Sample) -> int:
    return len(sample.op.parameters(*harness.types_of(sample)))


def names_of(sample: Sample) -> list[str]:
    return [f"value_{index}" for index in range(len(sample.operands) + count_owned(sample))]


SAMPLES = [*harness.all_samples(), *(harness.with_floats(item, DType.f64) for item in harness.all_samples())]
WRITING = [item for item in SAMPLES if text_into(item, names_of(item)) is not None]


def test_many_ops_write() -> None:
    assert len({item.op.name for item in WRITING}) > 30


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "channel by channel"])
@pytest.mark.parametrize("sample", WRITING, ids=harness.sample_id)
def test_written_is_given(sample: Sample, turned: bool) -> None:
    operands, owned = harness.draw_arrays(sample)
    names = dict(zip(names_of(sample), [*operands, *owned.values()], strict=True))
    at = harness.lowering_of(sample)
    expected = harness.run(sample.op.numpy(at, *map(Code, names)), harness.NUMPY | names)
    shape = tuple(dim.constant or 0 for dim in at.result.shape)
    turned = turned and len(shape) >= 4
    out = np.empty((shape[1], shape[0], *shape[2:]) if turned else shape, at.result.dtype.numpy_name)
    out = out.swapaxes(0, 1) if turned else out
    text = text_into(sample, list(names))
    assert text is not None
    assert len(re.findall(r"\bout\b(?!=)", text)) == 1
    found = harness.run(text, harness.NUMPY | names | {"out": out, "work": Work()})
    first = found[0] if isinstance(found, tuple) else found
    assert np.shares_memory(first, out)
    tolerance = 1e-12 if out.dtype == np.float64 else 1e-5
    for a, b in zip(found if isinstance(found, tuple) else (found,), expected if isinstance(expected, tuple) else (expected,), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * 10)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
