"""Compiled libraries in the cache folder: made once, checked before they are loaded, and never another user's."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest
import torch

from compiler.backends import native_library
from compiler.backends.native_library import NativeError, cache_folder, describe_hostile, find_compiler, lacks_native, load_library
from compiler.backends.scan_torch import load_torch_scan
from compiler.backends.scan_ways import choose_way
from tests.compiler.backends.stepping import assert_close, cell, draw_tensors, run_scan

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler is here")

SOURCE = "int answer(void) { return 42; }\n"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("NETLANG_NATIVE", "1")
    monkeypatch.setenv("NETLANG_CACHE", str(tmp_path / "cache"))
    return cache_folder()


def answer(source: str = SOURCE) -> int:
    library = load_library(source)
    assert isinstance(library, ctypes.CDLL)
    return int(library.answer())


def test_a_source_is_compiled_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer() == 42
    assert cache.stat().st_mode & 0o777 == 0o700
    names = sorted(path.suffix for path in cache.iterdir())
    assert names == [".sha256", ".so"]
    monkeypatch.setattr(native_library, "_compile", lambda *_: pytest.fail("compiled again"))
    assert answer() == 42


def test_the_name_depends_on_source_and_flags(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer()
    answer(SOURCE.replace("42", "43"))
    monkeypatch.setattr(native_library, "FLAGS", (*native_library.FLAGS, "-DOTHER"))
    answer()
    assert len(list(cache.glob("*.so"))) == 3


def test_a_swapped_file_is_not_loaded(cache: Path) -> None:
    answer()
    (path,) = cache.glob("*.so")
    swapped = path.read_bytes().replace(b"answer", b"reward")
    path.unlink()
    path.write_bytes(swapped)
    with pytest.warns(RuntimeWarning, match="is not what netlang compiled"):
        assert answer() == 42
    (path,) = cache.glob("*.so")
    assert path.read_bytes() != swapped


def test_a_cut_file_is_not_loaded(cache: Path) -> None:
    answer()
    (path,) = cache.glob("*.so")
    cut = path.read_bytes()[:100]
    path.unlink()
    path.write_bytes(cut)
    with pytest.warns(RuntimeWarning, match="is not what netlang compiled"):
        assert answer() == 42


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_not_used(cache: Path, mode: int) -> None:
    cache.mkdir(parents=True)
    cache.chmod(mode)
    assert lacks_native() == f"others may write to `{cache}`"
    with pytest.raises(NativeError, match="others may write to"):
        load_library(SOURCE)
    assert list(cache.iterdir()) == []


def test_a_file_that_others_may_write_to_is_not_loaded(cache: Path) -> None:
    answer()
    (path,) = cache.glob("*.so")
    path.chmod(0o666)
    with pytest.raises(NativeError, match="others may write to"):
        load_library(SOURCE)


def test_another_users_folder_is_not_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir(parents=True, mode=0o700)
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert describe_hostile(cache) == f"`{cache}` belongs to another user"
    with pytest.raises(NativeError, match="belongs to another user"):
        load_library(SOURCE)


def test_a_link_is_not_followed(cache: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    cache.parent.mkdir(parents=True)
    cache.symlink_to(elsewhere)
    assert lacks_native() == f"`{cache}` is a link"
    with pytest.raises(NativeError, match="is a link"):
        load_library(SOURCE)


def test_what_the_compiler_refuses_is_said() -> None:
    with pytest.raises(NativeError, match=r"failed: .*error"):
        load_library("int answer(void) { return }\n")


def scan_twice() -> None:
    """A scan against its steps, forward."""
    made = cell("peephole_lstm(4)")
    sequences, states, weights = draw_tensors(made, 2, 3)
    named = dict(zip((item.key for item in made.graph.parameters), weights, strict=True))
    found = load_torch_scan(made)(*sequences, **dict(zip(made.states, states, strict=True)), **named)
    assert_close(found, run_scan(made, sequences, states, weights), 1e-10)


def test_without_a_compiler_scans_run_as_printed(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    scan_twice()
    way = choose_way(cell("peephole_lstm(4)"), torch=False)
    assert way.kind == "arrays"
    assert way.reason == "NumPy has no kernel of its own; not native: no C compiler is there (`cc`, `gcc`, `clang`)"
    assert not cache.exists()


def test_a_compiler_that_fails_is_said_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.warns(RuntimeWarning, match="scans are not compiled: .*failed: broken") as found:
        scan_twice()
    assert len(found) == 1


def test_the_switch(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    made = cell("peephole_lstm(4)")
    assert choose_way(made).kind == "native"
    assert choose_way(made, torch=False).reason == "NumPy has no kernel of its own"
    assert choose_way(cell("lstm(4)")).kind == "vendor"
    scan_twice()
    assert list(cache.glob("*.so"))
    monkeypatch.setenv("NETLANG_NATIVE", "0")
    way = choose_way(made, torch=False)
    assert (way.kind, way.reason) == ("arrays", "NumPy has no kernel of its own; not native: NETLANG_NATIVE is 0")


def test_other_types_run_as_printed() -> None:
    made = cell("peephole_lstm(4)")
    sequences, _, weights = draw_tensors(made, 2, 3, torch.bfloat16)
    named = dict(zip((item.key for item in made.graph.parameters), weights, strict=True))
    outputs = load_torch_scan(made)(*sequences, **named)[0]
    assert outputs.dtype == torch.bfloat16
