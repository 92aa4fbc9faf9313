"""Pictures that come with scikit-image and scikit-learn, by name: `skimage:astronaut`, `sklearn:china`. None of those is imported.

Their licences, as the packages tell them: public domain or CC0 for those of scikit-image listed here; CC BY 2.0 for scikit-learn's
two (`china` by danielbuechele, `flower` by vultilion, both on Flickr), which must be named where a picture made from them is shown.
"""

from __future__ import annotations

import difflib
import importlib.util
from pathlib import Path
from typing import Final

from compiler.front.readers import ReaderError

FOLDERS: Final = {"skimage": ("scikit-image", "data"), "sklearn": ("scikit-learn", "datasets/images")}
FILES: Final = {
    "skimage": {
        "astronaut": "astronaut.png",
        "brick": "brick.png",
        "camera": "camera.png",
        "chelsea": "chelsea.png",
        "clock": "clock_motion.png",
        "coffee": "coffee.png",
        "coins": "coins.png",
        "grass": "grass.png",
        "gravel": "gravel.png",
        "horse": "horse.png",
        "hubble_deep_field": "hubble_deep_field.jpg",
        "immunohistochemistry": "ihc.png",
        "retina": "retina.jpg",
        "rocket": "rocket.jpg",
        "text": "text.png",
    },
    "sklearn": {"china": "china.jpg", "flower": "flower.jpg"},
}


def find_bundled(file: str, attribute: str) -> Path | None:
    """Where the picture `package:name` lies; None for what does not begin with such a package. Raises ReaderError NL501, NL503."""
    package, colon, name = file.partition(":")
    if not colon or package not in FILES:
        return None
    if name not in FILES[package]:
        near = difflib.get_close_matches(name, FILES[package], n=1)
        help_text = f"did you mean `{package}:{near[0]}`?" if near else f"there are {', '.join(FILES[package])}"
        raise ReaderError(f"`{package}` brings no picture `{name}`", help=help_text, attribute=attribute, code="NL501")
    project, folder = FOLDERS[package]
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ReaderError(
            f"the picture `{file}` comes with the package `{project}`",
            help='install it: `pip install "netlang[data]"`',
            attribute=attribute,
            code="NL503",
        )
    return Path(found.origin).parent / folder / FILES[package][name]
