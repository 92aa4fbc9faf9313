from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from compiler.front.readers import Reader, ReaderError
from compiler.ir.signature import MISSING, signature_of
from compiler.ir.types import DType, TensorType
from netlang.data import READERS, read_arrays, register_reader


@dataclass(frozen=True)
class Constant(Reader):
    """What a plug-in registers; `arrays` is what it reads."""

    name: ClassVar[str] = "constant"

    arrays: dict[str, Any] = field(default_factory=dict)

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        return {"x": TensorType.of(DType.f32, "N", 2)}

    def read(self, folder: Path | None) -> dict[str, Any]:
        return self.arrays


def test_the_bundled_readers() -> None:
    pictures, drawn = (
        {"crops", "digits", "fashion_mnist", "idx", "image", "images"},
        {"blobs", "gaussian", "linear_regression", "moons", "ring", "spirals"},
    )
    sequences = {"adding", "copy_memory", "shakespeare", "sunspots", "text"}
    assert set(READERS) == pictures | drawn | sequences | {"csv", "npz"}


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_reader_is_a_documented_final_record(name: str) -> None:
    reader = READERS[name]
    assert reader.name == name
    assert getattr(reader, "__final__", False)
    assert reader.__doc__ is not None
    assert not reader.__doc__.startswith(f"{reader.__name__}(")
    for attribute in signature_of(reader).attributes:
        if attribute.default is not MISSING:
            assert attribute.convert(attribute.default) == attribute.default


def test_a_reader_registers_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netlang.data.READERS", dict(READERS))
    assert register_reader(Constant) is Constant
    assert register_reader(Constant) is Constant

    @dataclass(frozen=True)
    class Other(Constant):
        pass

    with pytest.raises(ValueError, match="a reader called `constant` exists"):
        register_reader(Other)


def test_what_is_no_reader_is_refused() -> None:
    class Loose(Constant):
        pass

    @dataclass(frozen=True)
    class Nameless(Constant):
        name: ClassVar[str] = "two words"

    with pytest.raises(ValueError, match="not a frozen dataclass"):
        register_reader(Loose)
    with pytest.raises(ValueError, match="has no `name`"):
        register_reader(Nameless)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r"declared the fields \['x'\] but read \[\]"),
        ({"x": np.zeros((3, 2))}, r"field `x` of `constant` is \[N, 2\] but float64\[3, 2\] was read"),
        ({"x": np.zeros((3, 4), np.float32)}, r"but float32\[3, 4\] was read"),
        ({"x": np.zeros(3, np.float32)}, r"but float32\[3\] was read"),
        ({"x": np.zeros((0, 2), np.float32)}, "`constant` holds no samples"),
    ],
)
def test_a_reader_is_held_to_its_word(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(ReaderError, match=message):
        read_arrays(Constant(arrays), None)
