from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compiler.front.readers import ReaderError
from netlang.data import read_arrays
from netlang.data.table import Csv

IRIS = 'length,width,kind,note\n5.1,3.5,setosa,"a, b"\n-7,3e0,virginica,\n\n 6.2 ,.5,setosa,=1+1\n'


def write(folder: Path, text: str | bytes) -> Path:
    (folder / "iris.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_declared_columns_only(tmp_path: Path) -> None:
    reader = Csv("iris.csv", ("width", "length"), label="kind")
    folder = write(tmp_path, IRIS)
    assert {name: str(field) for name, field in reader.fields(folder).items()} == {"features": "[N, 2]", "label": "i64[N]"}
    arrays = read_arrays(reader, folder)
    np.testing.assert_array_equal(arrays["features"], np.array([[3.5, 5.1], [3, -7], [0.5, 6.2]], np.float32))
    assert arrays["label"].tolist() == [0, 1, 0]


def test_targets_and_another_separator(tmp_path: Path) -> None:
    reader = Csv("iris.csv", ("a",), targets=("b", "c"), separator=";")
    arrays = read_arrays(reader, write(tmp_path, "\ufeffa;b;c\r\n1;2;3\r\n4;5;6\r\n"))
    assert arrays["features"].tolist() == [[1], [4]]
    assert arrays["target"].tolist() == [[2, 3], [5, 6]]


def test_classes_are_numbered_by_value_or_as_declared(tmp_path: Path) -> None:
    folder = write(tmp_path, "a,k\n1,10\n1,9\n1,x\n")
    assert read_arrays(Csv("iris.csv", ("a",), "k"), folder)["label"].tolist() == [1, 0, 2]
    assert read_arrays(Csv("iris.csv", ("a",), "k", classes=("x", "10", "9", "8")), folder)["label"].tolist() == [1, 2, 0]
    with pytest.raises(ReaderError, match=r"`x` in column `k` of `iris\.csv` is not among `classes`"):
        read_arrays(Csv("iris.csv", ("a",), "k", classes=("10", "9")), folder)


@pytest.mark.parametrize("cell", ["", "abc", "nan", "inf", "1_000", "0x10", "1,5", "1e999", "٣"])
def test_bad_cells_are_named_by_file_and_line(tmp_path: Path, cell: str) -> None:
    folder = write(tmp_path, f'a,b\n1,2\n"{cell}",2\n1,?\n')
    with pytest.raises(ReaderError) as caught:
        read_arrays(Csv("iris.csv", ("a", "b")), folder)
    assert caught.value.message == f"iris.csv:3: `{cell}` in column `a` is not a number"
    assert caught.value.help == "also iris.csv:4: `?` in column `b` is not a number"


def test_lines_count_breaks_inside_quotes(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match=r"iris\.csv:4: `x`"):
        read_arrays(Csv("iris.csv", ("a",)), write(tmp_path, 'a,b\n1,"two\nlines"\nx,1\n'))


@pytest.mark.parametrize(
    ("text", "message", "code"),
    [
        ("a,b\n1\n", "iris.csv:2: 1 cells where 2 columns are named", "NL506"),
        ("a,c\n1,2\n", "`iris.csv` has no column `b`", "NL506"),
        ("a,b,b\n1,2,3\n", "`iris.csv` has 2 columns `b`", "NL506"),
        ("", "`iris.csv` has no column `a`", "NL506"),
        ('a,b\n1,"2\n', "iris.csv:2: unexpected end of data", "NL504"),
        (b"a,b\n1,\xff\n", "is not UTF-8", "NL504"),
        ("a,b\n1," + "2" * 200_000 + "\n", "field larger than field limit", "NL504"),
        ("a,b\n" + "," * 5_000_000, "a line of `iris.csv` is longer than 4,194,304 characters", "NL505"),
        ("a,b\n", "`csv` holds no samples", "NL507"),
        (",".join(map(str, range(100_001))), "100,001 columns, more than 100,000", "NL505"),
    ],
)
def test_tables_that_do_not_fit(tmp_path: Path, text: str | bytes, message: str, code: str) -> None:
    with pytest.raises(ReaderError, match=message) as caught:
        read_arrays(Csv("iris.csv", ("a", "b")), write(tmp_path, text))
    assert caught.value.code == code


def test_a_near_column_is_offered(tmp_path: Path) -> None:
    with pytest.raises(ReaderError) as caught:
        Csv("iris.csv", ("lenght",)).fields(write(tmp_path, IRIS))
    assert (caught.value.help, caught.value.attribute) == ("did you mean `length`", "features")


def test_a_separator_is_one_character(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match="cannot separate columns"):
        Csv("iris.csv", ("a",), separator="ab").fields(write(tmp_path, IRIS))
