"""Files that commands make: all or nothing, and nothing of the user's is touched."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path

import pytest

from compiler.diagnostics import SpecError
from netlang import output
from netlang.output import write_files
from netlang.training.durable import Part, write_new


def listing(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def code_of(error: pytest.ExceptionInfo[SpecError]) -> str:
    return error.value.diagnostics[0].code


def test_files_are_written_into_a_new_folder(tmp_path: Path) -> None:
    paths = write_files(tmp_path / "a" / "b", {"x": [b"1", b"2"], "y": [b""]})
    assert paths == [tmp_path / "a" / "b" / "x", tmp_path / "a" / "b" / "y"]
    assert listing(tmp_path) == {"a/b/x": b"12", "a/b/y": b""}


def test_nothing_is_replaced_unless_forced(tmp_path: Path) -> None:
    write_files(tmp_path, {"y": [b"old"]})
    with pytest.raises(SpecError) as caught:
        write_files(tmp_path, {"x": [b"new"], "y": [b"new"]})
    assert code_of(caught) == "NL702"
    assert listing(tmp_path) == {"y": b"old"}
    write_files(tmp_path, {"x": [b"new"], "y": [b"new"]}, force=True)
    assert listing(tmp_path) == {"x": b"new", "y": b"new"}


@pytest.mark.parametrize("force", [False, True])
def test_links_are_never_written_through(tmp_path: Path, force: bool) -> None:
    outside = tmp_path / "precious"
    outside.write_bytes(b"old")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "x").symlink_to(outside)
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    files = {"x": [b"new"], "gone": [b"new"]}
    if force:
        write_files(folder, files, force=True)
        assert not (folder / "x").is_symlink()
    else:
        with pytest.raises(SpecError):
            write_files(folder, files)
    assert outside.read_bytes() == b"old"
    assert not (tmp_path / "nowhere").exists()


def test_a_refusing_disk_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path / "there", {"x": [b"old"]})

    def fail(path: Path, parts: Iterable[Part]) -> None:
        if ".y." in path.name:
            path.write_bytes(b"ha")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_new(path, parts)

    monkeypatch.setattr(output, "write_new", fail)
    for folder in ("there", "new"):
        with pytest.raises(SpecError) as caught:
            write_files(tmp_path / folder, {"x": [b"new"], "y": [b"new"]}, force=True)
        assert code_of(caught) == "NL703"
        assert "no space left on device" in caught.value.diagnostics[0].message
    assert listing(tmp_path) == {"there/x": b"old"}
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["file/inner", "file", "nul\0"])
def test_places_that_are_no_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(SpecError) as caught:
        write_files(tmp_path / name, {"x": [b""]})
    assert code_of(caught) == "NL703"
    assert listing(tmp_path) == {"file": b"old"}
