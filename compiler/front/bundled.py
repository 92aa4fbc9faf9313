"""The specs that come with netlang: found by name in the `specs` package, in a checkout and in an installed wheel alike."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import specs

FOLDER = Path(specs.__file__).parent
SHORT: Final = {"style": "style/gatys"}
"""Names of what one comes for."""


def list_bundled() -> dict[str, Path]:
    """Every bundled spec by the names that reach it: `cnn/vgg19`, `vgg19` where that is unambiguous, and those of `SHORT`."""
    found: dict[str, Path] = {}
    short: dict[str, list[Path]] = {}
    for path in sorted(FOLDER.rglob("*.yaml")):
        name = path.relative_to(FOLDER).with_suffix("").as_posix()
        found[name] = path
        short.setdefault(path.stem, []).append(path)
    found.update({name: paths[0] for name, paths in short.items() if len(paths) == 1 and name not in found})
    found.update({name: found[full] for name, full in SHORT.items() if full in found})
    return found
