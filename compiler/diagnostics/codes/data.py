"""NL5xx: data sources and fields."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "NL500",
        "a source cannot be read",
        """A reader refused its data for a reason of its own, which the message tells. Readers that a plug-in registers use this code
where no other of the family fits.

Bad:
    data: {train: my_sensor(port=99)}     # the plug-in's reader says that there is no such port
Good:
    data: {train: my_sensor(port=1)}""",
    ),
    Code(
        "NL501",
        "file or folder not found",
        """A source names a file or folder that is not there, may not be read, or is a pipe or a device. Paths are relative to the
spec's folder. Data that comes with no spec (`fashion_mnist`) must be installed or put in a folder first.

Bad:
    data: {train: npz("trian.npz")}
Good:
    data: {train: npz("train.npz")}""",
    ),
    Code(
        "NL502",
        "path leaves the spec's folder",
        """A spec reads below its own folder only: no absolute path, no `..` that climbs out, no link that leads out. So a spec from a
stranger cannot read your files. A path given on the command line may lead anywhere.

Bad:
    data: {train: npz("/home/me/train.npz")}
Good:
    data: {train: npz("data/train.npz")}""",
    ),
    Code(
        "NL503",
        "a reader's package is missing",
        """Some readers need a package that netlang does not install by itself: scikit-learn for `digits`, Pillow for `image` and
`images`. `pip install "netlang[data]"` installs them all.

Bad:
    data: {train: digits(split=train)}    # without scikit-learn
Good:
    data: {train: ring(modes=8)}          # needs NumPy alone""",
    ),
    Code(
        "NL504",
        "damaged file or foreign format",
        """A file ends too early, holds something else than its header tells, or is no file of the format that the reader reads. The
content counts, not the ending of the name. Arrays of Python objects are never unpacked, since that could run code.

Bad:
    data: {train: npz("rows.csv")}
Good:
    data: {train: csv("rows.csv", features=[x, y], label=kind)}""",
    ),
    Code(
        "NL505",
        "data too large",
        """A file, a picture or a whole source is larger than the reader's limit, or says that it unpacks to more than 100 times its
own size. Nothing was unpacked. Pictures have at most 25,000,000 pixels.

Bad:
    data: {content: image("scan.png", size=256)}     # scan.png has 20000x20000 pixels
Good:
    data: {content: image("scan_small.png", size=256)}""",
    ),
    Code(
        "NL506",
        "a table's column or cell does not fit",
        """`csv` reads the columns that the spec declares. Every one must be in the first line exactly once, every cell of `features` and
`targets` must be a finite number, and every row must have as many cells as there are columns.

Bad:
    data: {train: csv("iris.csv", features=[lenght], label=kind)}
Good:
    data: {train: csv("iris.csv", features=[length], label=kind)}""",
    ),
    Code(
        "NL507",
        "the samples of a source do not fit together",
        """The fields of a source are read in step, so each holds one entry a sample; a source has at least one sample, and enough for a
batch; and what is read has the type that the reader declared before.

Bad:
    data: {train: idx("train-images", labels="test-labels")}
Good:
    data: {train: idx("train-images", labels="train-labels")}""",
    ),
    Code(
        "NL508",
        "unknown data reader",
        """A source is a call of a registered reader, such as `digits`, `csv` or `images`. Readers register from Python, never from a spec.

Bad:
    data: {train: mnist(split=train)}
Good:
    data: {train: fashion_mnist(split=train)}""",
    ),
)
