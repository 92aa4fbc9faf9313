from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.front.readers import ReaderError
from netlang.data import read_arrays
from netlang.data.npz import Npz, read_header

SAMPLES = 4


def array_bytes(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def write_entries(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def test_names_types_and_shapes_come_from_headers(tmp_path: Path) -> None:
    stored: dict[str, Any] = {
        "x": np.arange(SAMPLES * 6, dtype=np.float64).reshape(SAMPLES, 2, 3),
        "y": np.arange(SAMPLES, dtype=">i8"),
        "mask": np.array([True, False, True, True]),
        "fortran": np.asfortranarray(np.arange(SAMPLES * 2, dtype=np.uint8).reshape(SAMPLES, 2)),
    }
    np.savez_compressed(tmp_path / "d.npz", **stored)
    reader = Npz("d.npz")
    told = {name: str(field) for name, field in reader.fields(tmp_path).items()}
    assert told == {"x": "[N, 2, 3]", "y": "i64[N]", "mask": "bool[N]", "fortran": "u8[N, 2]"}
    arrays = read_arrays(reader, tmp_path)
    for name, array in stored.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype.isnative
    assert read_arrays(Npz("d.npz", exact=True), tmp_path)["x"].dtype == np.float64
    assert str(Npz("d.npz", exact=True).fields(tmp_path)["x"]) == "f64[N, 2, 3]"


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([{}, {}], object), "objects or records"),
        (np.zeros(2, [("a", "f4")]), "objects or records"),
        (np.array(["a", "bb"]), "numbers of type `<U2`"),
        (np.zeros(2, np.complex64), "numbers of type `<c8`"),
        (np.zeros(2, np.int16), "numbers of type `<i2`"),
        (np.float32(1), "a single number and has no samples"),
    ],
)
def test_arrays_of_other_things_are_refused(tmp_path: Path, array: Any, message: str) -> None:
    write_entries(tmp_path / "d.npz", {"x.npy": array_bytes(np.asanyarray(array))})
    with pytest.raises(ReaderError, match=message) as caught:
        Npz("d.npz").fields(tmp_path)
    assert caught.value.code == "NL504"


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": (100 * 2**20,)})
        for _ in range(100):
            member.write(bytes(2**20))
    assert (tmp_path / "d.npz").stat().st_size < 2**20
    with pytest.raises(ReaderError, match="says that it unpacks to") as caught:
        Npz("d.npz").fields(tmp_path)
    assert caught.value.code == "NL505"


def test_a_header_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    honest = array_bytes(np.zeros(4, np.float32))
    write_entries(tmp_path / "d.npz", {"x.npy": honest.replace(b"(4,)", b"(9999999,)").replace(b" " * 6 + b"\n", b"\n", 1)})
    with pytest.raises(ReaderError, match="tells of 39,999,996 bytes but holds 16"):
        Npz("d.npz").read(tmp_path)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "it holds 0 arrays"),
        ({"../x.npy": b""}, "is not the name of one array"),
        ({"x.txt": b""}, "is not the name of one array"),
        ({"x.npy": b"\x93NUMPY\x01\0\xff\xff"}, "cut short or too long"),
        ({"x.npy": b"\x93NUMPY\x01\0\x04\0f(x)"}, "its header is no literal"),
        ({"x.npy": b"\x93NUMPY\x01\0\x02\0[]"}, "objects or records"),
        ({"x.npy": array_bytes(np.zeros(2)), "y.npy": array_bytes(np.zeros(3))}, "`x` 2, `y` 3"),
    ],
)
def test_archives_that_do_not_fit(tmp_path: Path, entries: dict[str, bytes], message: str) -> None:
    write_entries(tmp_path / "d.npz", entries)
    with pytest.raises(ReaderError, match=message):
        Npz("d.npz").fields(tmp_path)


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    write_entries(tmp_path / "d.npz", {"x.npy": array_bytes(np.zeros(2))}, zipfile.ZIP_BZIP2)
    with pytest.raises(ReaderError, match="in a way that NumPy never writes"):
        Npz("d.npz").fields(tmp_path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_no_damage_escapes_as_another_error(tmp_path: Path, place: int, patch: bytes) -> None:
    np.savez_compressed(tmp_path / "good.npz", x=np.arange(12.0).reshape(4, 3), y=np.arange(4))
    content = bytearray((tmp_path / "good.npz").read_bytes())
    place %= len(content)
    content[place : place + len(patch)] = patch
    (tmp_path / "d.npz").write_bytes(content)
    with contextlib.suppress(ReaderError):
        read_arrays(Npz("d.npz"), tmp_path)


@given(st.binary(max_size=200))
def test_headers_end_in_a_value_error_or_a_header(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert read_header(io.BytesIO(b"\x93NUMPY\x01\0" + content)).start > 0
