"""The curves of a run as a picture: every step's objective and every metric, read from the run's log."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from netlang.output import write_files
from netlang.report.pictures import Curve, encode_curves, read_curves, require_suffix
from netlang.training.failures import failure
from netlang.training.run_folder import METRICS

CURVES: Final = "curves.png"
MOST_POINTS: Final = 1600
"""Two for each pixel of a picture's width."""


def write_curves(folder: Path, out: Path | None = None, *, force: bool = False) -> Path:
    """Draw the curves of the run in `folder` into `out`, or anew into its own `curves.png`; the path.

    Raises SpecError NL702 where `out` exists (without `force`), NL703 where it cannot be written, NL730, NL734 where there is no run.
    """
    own = out is None
    path = folder / CURVES if out is None else out
    require_suffix(path)
    try:
        curves = read_curves(folder / METRICS)
    except OSError as error:
        message = f"there is no log `{folder / METRICS}`: {(error.strerror or str(error)).lower()}"
        raise failure("NL734", message, help="give the folder of a run: `runs/NAME/TIME`") from None
    data = encode_curves({name: thin(curve) for name, curve in curves.items()}, suffix=path.suffix)
    write_files(path.parent, {path.name: [data]}, force=force or own)
    return path


def thin(curve: Curve) -> Curve:
    """The curve with at most `MOST_POINTS` points: means over equally many neighbours, but for the last few."""
    x, y = curve
    share = -(-len(x) // MOST_POINTS)
    starts = range(0, len(x), max(share, 1))
    means = [[sum(part) / len(part) for part in (values[at : at + share] for at in starts)] for values in (x, y)]
    return means[0], means[1]
