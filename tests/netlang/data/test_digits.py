from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from compiler.front.readers import ReaderError
from netlang.data import read_arrays
from netlang.data.digits import Digits
from netlang.data.resize import interpolation_matrix, pad_square, resize_bilinear


def test_the_split_is_stratified_and_covers_everything_once() -> None:
    train, test, whole = (read_arrays(Digits(split=split), None) for split in ("train", "test", "all"))
    assert [len(part["label"]) for part in (train, test, whole)] == [1438, 359, 1797]
    counts, totals = np.bincount(test["label"]), np.bincount(whole["label"])
    np.testing.assert_array_equal(counts, np.round(0.2 * totals))
    joined = np.concatenate([train["image"], test["image"]]).reshape(1797, -1)
    np.testing.assert_array_equal(np.sort(joined, axis=0), np.sort(whole["image"].reshape(1797, -1), axis=0))


def test_values_reach_from_0_to_1_and_the_order_is_the_data_sets() -> None:
    whole = read_arrays(Digits(split="all"), None)
    np.testing.assert_array_equal(whole["image"][:, 0] * 16, load_digits().images)
    assert (whole["image"].min(), whole["image"].max()) == (0, 1)
    np.testing.assert_array_equal(whole["label"], load_digits().target)


def test_the_split_is_the_same_every_time() -> None:
    assert read_arrays(Digits(split="test"), None)["label"][:8].tolist() == [0, 7, 0, 5, 2, 2, 7, 8]


def test_sizes() -> None:
    reader = Digits(split="test", size=28)
    assert {name: str(field) for name, field in reader.fields(None).items()} == {"image": "[N, 1, 28, 28]", "label": "i64[N]"}
    assert read_arrays(reader, None)["image"].shape == (359, 1, 28, 28)


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(ReaderError, match="needs the package `scikit-learn`") as caught:
        Digits().read(None)
    assert (caught.value.code, caught.value.help) == ("NL503", 'install it: `pip install "netlang[data]"`')


@pytest.mark.parametrize(("height", "width"), [(28, 28), (3, 5), (1, 1), (8, 7), (32, 8)])
def test_resizing_agrees_with_torch(height: int, width: int) -> None:
    pictures = np.random.default_rng(0).random((2, 1, 8, 7), np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(pictures), (height, width), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(resize_bilinear(pictures, height, width), expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("wanted", [1, 3, 7])
def test_interpolation_weights_sum_to_one(length: int, wanted: int) -> None:
    np.testing.assert_allclose(interpolation_matrix(length, wanted).sum(1), 1, rtol=1e-6)


def test_padding_puts_an_odd_rest_right_and_below() -> None:
    padded = pad_square(np.ones((1, 1, 2, 3), np.float32), 5)
    np.testing.assert_array_equal(padded[0, 0], np.pad(np.ones((2, 3)), ((1, 2), (1, 1))))
