"""What an unknown name was probably meant to be: a known one spelt otherwise, or what other libraries call it.

Looking costs time that grows with the names known, so after the first errors of a run nothing is looked for.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from typing import Final

from compiler.front.sink import Sink

MOST_ERRORS: Final = 20
LONGEST: Final = 60
CLOSE: Final = 0.75
DIMENSIONS: Final = re.compile(r"_?[123]d\Z")

ELSEWHERE: Final[dict[str, str]] = {
    "dense": "linear",
    "fc": "linear",
    "fullyconnected": "linear",
    "affine": "linear",
    "cat": "concat",
    "concatenate": "concat",
    "view": "reshape",
    "averagepooling": "avg_pool",
    "maxpooling": "max_pool",
    "globalaveragepooling": "global_avg_pool",
    "globalmaxpooling": "global_max_pool",
    "convolution": "conv",
    "deconv": "conv_transpose",
    "upconv": "conv_transpose",
    "swish": "silu",
    "lrelu": "leaky_relu",
    "lrn": "local_response_norm",
    "layernormalization": "layer_norm",
    "batchnormalization": "batch_norm",
    "crossentropyloss": "cross_entropy",
    "mseloss": "mse",
    "bceloss": "bce",
    "bcewithlogitsloss": "bce_with_logits",
    "l1loss": "l1",
    "nllloss": "nll",
    "randn": "normal",
    "rand": "uniform",
    "interpolate": "upsample",
    "outchannels": "filters",
    "outfeatures": "features",
    "units": "features",
    "kernelsize": "kernel",
    "poolsize": "kernel",
    "strides": "stride",
    "padding": "pad",
    "paddingmode": "mode",
    "outputpadding": "output_pad",
    "usebias": "bias",
    "negativeslope": "slope",
    "numgroups": "groups",
    "numclasses": "classes",
    "numembeddings": "count",
    "embeddingdim": "size",
    "dim": "axis",
    "keepdim": "keepdims",
    "epsilon": "eps",
    "rate": "p",
    "learningrate": "lr",
    "stepsize": "lr",
    "weightdecay": "weight_decay",
}
"""What PyTorch, Keras and papers call it (without case, underscores and numbers of dimensions), and what it is here."""


def suggests(sink: Sink) -> bool:
    """Whether meant names are still looked for: not after the first errors of a run."""
    return len(sink.diagnostics) <= MOST_ERRORS


def suggest(name: str, known: Collection[str], sink: Sink) -> str | None:
    """The known name that `name` stands for, if one is likely."""
    if not suggests(sink) or len(name) > LONGEST:
        return None
    squashed = _squash(name)
    same = next((item for item in known if _squash(item) == squashed), None)
    if same is not None:
        return same
    elsewhere = ELSEWHERE.get(squashed)
    if elsewhere in known:
        return elsewhere
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=CLOSE)), None)


def _squash(name: str) -> str:
    return DIMENSIONS.sub("", name.lower()).replace("_", "")
