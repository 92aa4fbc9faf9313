"""The layout `hed`: a file of Keras's VGG16 becomes a network for torchvision's pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch.nn import functional

import netlang
from compiler.diagnostics import SpecError
from netlang.training.foreign_weights import read_foreign
from netlang.training.layouts import DEVIATION, HED_MEAN, MEAN, VGG16, read_hed, rename_torchvision
from netlang.training.weights import expected_types
from tests.netlang.training.runs import only

WIDTH = 4


def write_hed(path: Path, blocks: int = 5) -> Path:
    """A file of the package's structure with few channels."""
    generator = np.random.default_rng(0)
    channels = 3
    with h5py.File(path, "w") as file:
        for block, count in enumerate(VGG16[:blocks], 1):
            for index in range(count):
                place = f"block{block}/layers/conv2d{f'_{index}' if index else ''}/vars"
                file[f"{place}/0"] = generator.standard_normal((3, 3, channels, WIDTH)).astype(np.float32)
                file[f"{place}/1"] = generator.standard_normal(WIDTH).astype(np.float32)
                channels = WIDTH
        file["fuse/vars/0"] = np.zeros((1, 1, 5, 1), np.float32)
    return path


def test_the_first_layer_takes_torchvisions_pictures(tmp_path: Path) -> None:
    found = {name: torch.from_numpy(array) for name, array in read_hed(write_hed(tmp_path / "a.h5")).items()}
    assert len(found) == 26
    with h5py.File(tmp_path / "a.h5") as file:
        kernels = [torch.from_numpy(file[f"block1/layers/{name}/vars/0"][...]).permute(3, 2, 0, 1) for name in ("conv2d", "conv2d_1")]
        bias = torch.from_numpy(file["block1/layers/conv2d/vars/1"][...])
    picture = torch.rand(1, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    normal = (picture - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1)
    theirs = picture.flip(1) * 255 - torch.tensor(HED_MEAN).view(3, 1, 1)
    expected = functional.conv2d(theirs, kernels[0], bias, padding=1)
    made = functional.conv2d(normal, found["conv1_1.weight"], found["conv1_1.bias"], padding=1)
    largest = float(expected.abs().max())
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(made[inside], expected[inside], rtol=0, atol=1e-6 * largest)
    bound = float((kernels[0].abs().sum((2, 3)) @ (255 * torch.tensor(MEAN).flip(0) - torch.tensor(HED_MEAN)).abs()).max())
    assert 0 < float((made - expected).abs().max()) <= bound
    assert max(abs(255 * mean - other) for mean, other in zip(MEAN, HED_MEAN[::-1], strict=True)) < 1
    torch.testing.assert_close(found["conv1_2.weight"], kernels[1], rtol=0, atol=0)


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETLANG_CACHE", str(tmp_path / "cache"))
    expected = expected_types(netlang.check("style/gatys_vgg16").require().networks["features"])
    write_hed(tmp_path / "short.h5", blocks=4)
    (tmp_path / "cut.h5").write_bytes(write_hed(tmp_path / "a.h5").read_bytes()[:2000])
    (tmp_path / "text.h5").write_text("no weights\n")
    for name, reason in [
        ("short.h5", "it has no kernel `block5/"),
        ("cut.h5", "truncated"),
        ("text.h5", "is damaged"),
    ]:
        with pytest.raises(SpecError) as caught:
            read_foreign(tmp_path / name, expected, layout="hed")
        assert reason in only(caught.value, "NL602").message
    with pytest.raises(SpecError) as caught:
        read_foreign(tmp_path / "a.h5", expected, layout="hed")
    only(caught.value, "NL604")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(SpecError) as caught:
        read_foreign(tmp_path / "short.h5", expected, layout="hed")
    only(caught.value, "NL608")


def test_unknown_names_stay() -> None:
    names = ["features.0.weight", "features.x.weight", "head.bias", "classifier.6.bias", "features.1.weight"]
    assert rename_torchvision(names)["head.bias"] == "head.bias"
    assert rename_torchvision(names)["features.x.weight"] == "features.x.weight"
    assert rename_torchvision(names)["classifier.6.bias"] == "fc8.bias"
