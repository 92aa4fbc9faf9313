"""The structure of a spec as one JSON Schema (draft 2020-12), for editors and for schema.py.

It uses only the keywords that schema.py interprets, no patterns and no references; `title` names one member of a mapping or
a list in messages. Non-goals: names, expressions and their types, which the elaborator reads.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

Schema: TypeAlias = dict[str, Any]

TEXT: Final = ["string"]
EXPRESSION: Final = ["string", "number", "boolean"]
COUNT: Final = ["string", "integer"]
NUMBER: Final = ["string", "number"]
CONSTANT: Final = ["string", "number", "boolean", "array"]
SIZES: Final = ["array", "string"]
ENTRIES: Final = ["object", "array"]
NAMES: Final = ["string", "array"]
OUTPUTS: Final = ["string", "array", "object"]


def _leaf(kinds: list[str], description: str = "", **more: Any) -> Schema:
    return {"type": kinds, **({"description": description} if description else {}), **more}


def _names(title: str, value: Schema, description: str = "", **more: Any) -> Schema:
    """A mapping whose keys the spec's author chooses; `title` is what one of its pairs is."""
    return _leaf(["object"], description, additionalProperties={"title": title, **value}, **more)


def _list(title: str, value: Schema, description: str, **more: Any) -> Schema:
    return _leaf(["array"], description, items={"title": title, **value}, **more)


def _record(properties: Schema, required: list[str], description: str = "", **more: Any) -> Schema:
    """A mapping with keys of the language."""
    return _leaf(["object"], description, properties=properties, required=required, additionalProperties=False, **more)


def _sizes(description: str = "a list of sizes such as `[N, 3, H, W]` (f32), or a type such as `i64[N, T]`") -> Schema:
    return _leaf(SIZES, description, items={"title": "size", "type": COUNT})


_DOC = _leaf(TEXT, "what it is, with its source")
_LET = _names(
    "constant",
    _leaf(CONSTANT, items=_leaf(CONSTANT, title="value", items=_leaf(EXPRESSION, title="value"))),
    "constants and constant expressions; those of the file can be set on the command line: `--set hidden=256`",
)
_VALUES = _names("value", _leaf(EXPRESSION), "named expressions")
_DRAW = _names("draw", _leaf(EXPRESSION), "random tensors, such as `z: normal(N, 64)`")
_INPUTS = _names("input", _sizes(), "inputs and their types", minProperties=1)
_ASSERT = _list("assertion", _leaf(EXPRESSION), "facts that the compiler proves, such as `params(lenet5) == 61706`")
_INIT = _names("initial value", _leaf(EXPRESSION), "how parameters start, by entry or by parameter name")
_LAYERS = _leaf(
    ENTRIES,
    "entries in order: named, or as a list; each is an expression",
    additionalProperties=_leaf(EXPRESSION, title="entry"),
    items=_leaf(EXPRESSION, title="entry"),
    minProperties=1,
    minItems=1,
)
_OUTPUTS = _leaf(
    OUTPUTS,
    "a name, a list of names, or named expressions; left out, it is the last entry",
    items=_leaf(TEXT, title="output"),
    additionalProperties=_leaf(EXPRESSION, title="output"),
    minProperties=1,
    minItems=1,
)
_BODY: Schema = {"doc": _DOC, "inputs": _INPUTS, "let": _LET, "layers": _LAYERS, "outputs": _OUTPUTS, "init": _INIT, "assert": _ASSERT}

_BLOCK = _record(_BODY, ["layers"])
_CELL = _record(
    {
        "doc": _DOC,
        "inputs": _names("input", _sizes(), "what comes in at each step, without batch and time", minProperties=1),
        "let": _LET,
        "state": _names("state", _sizes(), "what is kept from step to step, without batch", minProperties=1),
        "params": _names("parameter", _sizes(), "weights; names of one shape can share a line: `W_i, W_f: [H, D]`"),
        "init": _INIT,
        "step": _names("equation", _leaf(EXPRESSION), "equations in order; a primed name is the next state", minProperties=1),
        "output": _leaf(TEXT, "what the cell gives at each step"),
    },
    ["inputs", "state", "step", "output"],
)
_NETWORK = _record(
    {
        **_BODY,
        "keys": _names(
            "prefix", _leaf(TEXT), "entries whose parameters have another prefix in weight files, such as `conv1_1: features.0`"
        ),
        "weights": _record(
            {
                "file": _leaf(TEXT, "a .safetensors, .npz or .pth file, relative to the spec"),
                "layout": _leaf(TEXT, "whose names the file's keys follow, such as `torchvision`"),
                "sha256": _leaf(TEXT, "what the file's SHA-256 must be, in hexadecimal digits"),
            },
            ["file"],
            "trained weights to load",
        ),
    },
    ["inputs", "layers"],
)
_VARIABLE = _record(
    {"init": _leaf(EXPRESSION, "its first value"), "shape": _sizes()},
    ["init"],
)
_STEP = _record(
    {
        "name": _leaf(TEXT, "what reports call it"),
        "update": _leaf(NAMES, "the networks and variables it changes", items=_leaf(TEXT, title="name"), minItems=1),
        "minimize": _leaf(EXPRESSION, "the objective, a scalar"),
        "maximize": _leaf(EXPRESSION, "the objective, a scalar"),
        "with": _leaf(TEXT, "the optimizer, such as `adam(lr=1e-3)`"),
        "repeat": _leaf(COUNT, "how often it runs in one iteration, each time on fresh data and draws"),
        "every": _leaf(COUNT, "it runs in each n-th iteration"),
        "after": _leaf(COUNT, "it runs only after this many iterations"),
        "until": _leaf(COUNT, "it runs only in the iterations before this one"),
        "clip_norm": _leaf(NUMBER, "bound on the norm of all its gradients together"),
        "clip_value": _leaf(NUMBER, "bound on each element of its gradients"),
        "clamp": _leaf(NUMBER, "bound on each weight after the update"),
        "ema": _leaf(NUMBER, "decay of an averaged copy of the weights"),
        "let": _VALUES,
        "draw": _DRAW,
        "mode": _names(
            "mode", _leaf(TEXT, enum=["train", "eval"]), "how networks run in this step, where not as the language would choose"
        ),
    },
    ["update", "with"],
    oneOf=[{"required": ["minimize"]}, {"required": ["maximize"]}],
)
_TRAIN = _record(
    {
        "epochs": _leaf(COUNT, "how often all training data is seen"),
        "iterations": _leaf(COUNT, "how often the steps run"),
        "batch": _leaf(COUNT, "samples in a batch"),
        "seed": _leaf(COUNT, "what all randomness follows from"),
        "draw": _DRAW,
        "let": _VALUES,
        "steps": _list("step", _STEP, "what one iteration does, in order", minItems=1),
        "metrics": _names("metric", _leaf(EXPRESSION), "what is measured on evaluation data"),
        "sample": _names("sample", _leaf(EXPRESSION), "what is written to files: pictures, text"),
        "carry": _names("carried value", _leaf(EXPRESSION), "state kept from batch to batch"),
        "evaluate": _record({"every": _leaf(COUNT, "iterations between two evaluations")}, ["every"], "when metrics are measured"),
        "checkpoint": _record(
            {"every": _leaf(COUNT, "iterations between two checkpoints"), "keep": _leaf(COUNT, "how many are kept")},
            [],
            "when the state of the run is saved",
        ),
    },
    ["steps"],
    "the training program",
    oneOf=[{"required": ["epochs"]}, {"required": ["iterations"]}],
)

SCHEMA: Final[Schema] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "netlang spec",
    **_record(
        {
            "netlang": {"description": "the version of the language", "const": 1},
            "name": _leaf(TEXT, "what the spec is called"),
            "doc": _DOC,
            "use": _list("spec", _leaf(TEXT), "other specs: relative paths, or bundled names such as `std/resnet`"),
            "let": _LET,
            "blocks": _names("block", _BLOCK, "templates by header, such as `residual(C, stride=1)`; each use has new weights"),
            "cells": _names("cell", _CELL, "recurrences by header, such as `lstm(H)`, written as equations"),
            "networks": _names("network", _NETWORK, "things with one set of weights"),
            "variables": _names("variable", _VARIABLE, "tensors that are trained themselves"),
            "data": _names("source", _leaf(TEXT), "named sources, such as `train: digits(split=train)`"),
            "train": _TRAIN,
            "assert": _ASSERT,
        },
        ["netlang"],
        "a netlang spec: networks, data and a training program",
    ),
}

ANNOTATIONS: Final = frozenset({"$schema", "title", "description"})
"""Keywords that say nothing about what is valid."""

HOMES: Final[dict[str, str]] = {
    **dict.fromkeys(_STEP["properties"], "a step"),
    **dict.fromkeys(_BODY, "a network or a block"),
    **dict.fromkeys(("keys", "weights"), "a network"),
    **dict.fromkeys(("state", "params", "step", "output"), "a cell"),
    **dict.fromkeys([name for name in _TRAIN["properties"] if name not in _STEP["properties"]], "`train`"),
    **dict.fromkeys(
        ["netlang", "use", "blocks", "cells", "networks", "variables", "data", "train"], "the spec itself, not within another key"
    ),
}
"""Where a key belongs that stands where it is unknown."""
