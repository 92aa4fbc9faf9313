from __future__ import annotations

import os
from pathlib import Path

import pytest

from compiler.front.readers import ReaderError, TrustedPath
from netlang.data.paths import FREE_OF_RATIO, LARGEST_DATA, check_declared_size, join_path, open_folder, open_regular, resolve_inside


@pytest.fixture
def spec_folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("outside")
    folder = tmp_path / "spec"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "rows.csv").write_text("a\n1\n")
    (folder / "inward").symlink_to("data/rows.csv")
    (folder / "outward").symlink_to("../secret")
    (folder / "upward").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    return folder


@pytest.mark.parametrize("path", ["data/rows.csv", "./data/../data/rows.csv", "inward"])
def test_paths_inside_resolve(spec_folder: Path, path: str) -> None:
    assert resolve_inside(spec_folder, path) == (spec_folder / "data" / "rows.csv").resolve()


@pytest.mark.parametrize("path", ["../secret", "data/../../secret", "/etc/passwd", "outward", "upward/secret", "", "a\0b", "loop"])
def test_paths_that_leave_are_refused(spec_folder: Path, path: str) -> None:
    with pytest.raises(ReaderError) as caught:
        resolve_inside(spec_folder, path, attribute="file")
    assert (caught.value.code, caught.value.attribute) == ("NL502", "file")


def test_an_absolute_path_is_refused_even_inside(spec_folder: Path) -> None:
    with pytest.raises(ReaderError, match="leaves the spec's folder"):
        resolve_inside(spec_folder, str(spec_folder / "data"))


def test_the_command_line_may_lead_anywhere(spec_folder: Path) -> None:
    outside = spec_folder.parent / "secret"
    assert resolve_inside(spec_folder, str(outside), trusted=True) == outside
    assert resolve_inside(None, TrustedPath(outside)) == outside
    assert isinstance(join_path(TrustedPath("a"), "b"), TrustedPath)
    assert type(join_path("a", "b", "c")) is str
    assert join_path("a", "b", "c") == "a/b/c"


def test_a_spec_without_a_folder_reads_nothing() -> None:
    with pytest.raises(ReaderError, match="this spec is not a file"):
        resolve_inside(None, "rows.csv")


def test_a_missing_file_names_the_near_one(spec_folder: Path) -> None:
    with pytest.raises(ReaderError) as caught:
        open_regular(spec_folder / "data" / "row.csv", "data/row.csv")
    assert (caught.value.message, caught.value.help, caught.value.code) == (
        "there is no file `data/row.csv`",
        "did you mean `rows.csv`?",
        "NL501",
    )


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link", "."):
        with pytest.raises(ReaderError) as caught:
            open_regular(tmp_path / name, name)
        assert caught.value.code == "NL501"
    with pytest.raises(ReaderError, match="not a regular file"):
        open_regular(Path("/dev/zero"), "/dev/zero")


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ReaderError, match=r"holds 1,099,511,627,776 bytes") as caught:
        open_regular(path, "sparse")
    assert caught.value.code == "NL505"


def test_folders_are_listed_in_order_without_hidden_entries(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden"):
        (tmp_path / name).touch()
    assert [entry.name for entry in open_folder(tmp_path, "x")] == ["a", "b"]
    with pytest.raises(ReaderError, match="there is no folder `y`"):
        open_folder(tmp_path / "y", "y")
    with pytest.raises(ReaderError, match="not a directory"):
        open_folder(tmp_path / "a", "a")


def test_declared_sizes_are_held_to_what_is_stored() -> None:
    check_declared_size("x", FREE_OF_RATIO, 1)
    check_declared_size("x", 10 * FREE_OF_RATIO, FREE_OF_RATIO)
    with pytest.raises(ReaderError, match="says that it unpacks"):
        check_declared_size("x", FREE_OF_RATIO + 1, 1000)
    with pytest.raises(ReaderError, match="more than the limit"):
        check_declared_size("x", LARGEST_DATA + 1, LARGEST_DATA)
