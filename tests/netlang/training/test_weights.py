from __future__ import annotations

import json
import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics import SpecError
from compiler.ir.types import DType, TensorType
from netlang.training.weights import LONGEST_HEADER, Stored, decode_weights, encode_weights, match_weights, read_weights
from tests.netlang.training.runs import only

TYPES = {"a.weight": TensorType.of(DType.f32, 2, 3), "a.bias": TensorType.of(DType.f32, 2)}
KINDS = [dtype for dtype in DType if dtype is not DType.bf16]


def store(array: np.ndarray) -> Stored:
    return Stored(DType(next(item for item in KINDS if item.numpy_name == array.dtype.name)), array.shape, memoryview(array.tobytes()))


def save(path: Path, **arrays: np.ndarray) -> Path:
    safetensors.numpy.save_file({name.replace("_", "."): array for name, array in arrays.items()}, path)
    return path


def sound() -> bytes:
    arrays = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.bias": np.ones(2, np.float32)}
    return b"".join(encode_weights({name: store(array) for name, array in arrays.items()}))


def with_header(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__" and name.isprintable()),
        st.tuples(st.sampled_from(KINDS), st.lists(st.integers(0, 3), max_size=3)),
        max_size=6,
    )
)
def test_the_library_reads_what_is_written_and_the_other_way_round(kinds: dict[str, tuple[DType, list[int]]]) -> None:
    generator = np.random.default_rng(0)
    arrays = {name: generator.integers(0, 2, shape).astype(dtype.numpy_name) for name, (dtype, shape) in kinds.items()}
    data = b"".join(encode_weights({name: store(array) for name, array in arrays.items()}))
    read = safetensors.numpy.load(data)
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
    back = decode_weights(memoryview(safetensors.numpy.save(arrays, metadata={"made": "here"})), "x")
    assert {name: (item.dtype, item.shape, bytes(item.data)) for name, item in back.items()} == {
        name: (store(array).dtype, array.shape, array.tobytes()) for name, array in arrays.items()
    }


def test_a_file_is_read_with_its_types(tmp_path: Path) -> None:
    path = save(tmp_path / "x.safetensors", a_weight=np.ones((2, 3), np.float32), a_bias=np.zeros(2, np.float32))
    assert bytes(read_weights(path, TYPES)["a.weight"].data) == np.ones((2, 3), np.float32).tobytes()


def test_names_that_differ_are_listed_with_the_nearest(tmp_path: Path) -> None:
    path = save(tmp_path / "x.safetensors", a_weights=np.ones((2, 3), np.float32), c=np.ones(1, np.float32))
    with pytest.raises(SpecError) as caught:
        read_weights(path, TYPES)
    assert only(caught.value, "NL603").notes == (
        "missing: `a.weight`, `a.bias`",
        "unexpected: `a.weights`, `c`",
        "nearest to `a.weight` is `a.weights`",
    )


def test_long_lists_are_cut() -> None:
    with pytest.raises(SpecError) as caught:
        match_weights({}, {f"w{index}": TYPES["a.bias"] for index in range(9)}, "x")
    assert only(caught.value, "NL603").notes[0].endswith("`w4` and 4 more")


@pytest.mark.parametrize("bias", [np.ones(3, np.float32), np.ones(2, np.float64)])
def test_shapes_and_types_that_differ_are_shown(tmp_path: Path, bias: np.ndarray) -> None:
    path = save(tmp_path / "x.safetensors", a_weight=np.ones((2, 3), np.float32), a_bias=bias)
    with pytest.raises(SpecError) as caught:
        read_weights(path, TYPES)
    shown = f"`a.bias` is f{bias.itemsize * 8}[{len(bias)}], the network has f32[2]"
    assert only(caught.value, "NL604").notes == (shown,)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it has 0 bytes"),
        (b"PK\x03\x04zip archive", "PyTorch's own format"),
        (struct.pack("<Q", LONGEST_HEADER + 1), "the limit is"),
        (struct.pack("<Q", 100) + b"{}", "but the file has 10"),
        (with_header(b"{"), "not JSON"),
        (with_header(b"[" * 100_000), "not JSON"),
        (with_header(b'{"a": ' + b"9" * 10_000 + b"}"), "not JSON"),
        (with_header(b"\xff"), "not JSON"),
        (with_header([1]), "no mapping"),
        (with_header(b'{"a": 1, "a": 1}'), "`a` stands in its header twice"),
        (with_header({f"t{index}": 0 for index in range(100_001)}), "the limit is 100,000"),
        (with_header({"a": 1}), "not one of a tensor"),
        (with_header({"a": ENTRY | {"more": 1}}), "not one of a tensor"),
        (with_header({"a": ENTRY | {"dtype": "F8"}}), "type of `a` is unknown"),
        (with_header({"a": ENTRY | {"dtype": []}}), "type of `a` is unknown"),
        (with_header({"a": ENTRY | {"shape": [-1]}}), "shape or place"),
        (with_header({"a": ENTRY | {"shape": [True]}}), "shape or place"),
        (with_header({"a": ENTRY | {"shape": [2**70]}}), "shape or place"),
        (with_header({"a": ENTRY | {"data_offsets": [0]}}), "shape or place"),
        (with_header({"a": ENTRY | {"shape": [2**62, 2**62]}}), "but has 8 bytes"),
        (with_header({"a": ENTRY | {"shape": [3]}}), "but has 8 bytes"),
        (with_header({"a": ENTRY}), "but 0 follow"),
        (with_header({"a": ENTRY}, bytes(9)), "but 9 follow"),
        (with_header({"a": ENTRY | {"data_offsets": [4, 12]}}, bytes(12)), "gap or an overlap"),
        (with_header({"a": ENTRY, "b": ENTRY}, bytes(8)), "gap or an overlap"),
    ],
)
def test_malformed_files_are_refused_at_once(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    began = time.process_time()
    with pytest.raises(SpecError) as caught:
        read_weights(path, TYPES)
    assert reason in only(caught.value, "NL602").message
    assert time.process_time() - began < 0.5


def test_every_truncation_and_every_flip_of_the_header_is_refused_or_harmless(tmp_path: Path) -> None:
    data = sound()
    path = tmp_path / "x.safetensors"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(SpecError):
            read_weights(path, TYPES)
    header = 8 + struct.unpack("<Q", data[:8])[0]
    for bit in range(header * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            assert read_weights(path, TYPES).keys() == TYPES.keys()
        except SpecError:
            continue


def test_pipes_folders_and_missing_files_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "none", "\0"):
        with pytest.raises(SpecError) as caught:
            read_weights(tmp_path / name, TYPES)
        only(caught.value, "NL601")
