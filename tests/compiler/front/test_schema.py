"""The structure of specs: what is reported and where, and that the interpreter and JSON Schema agree on what is valid."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.diagnostics import Diagnostic
from compiler.diagnostics.codes import CODES
from compiler.front.schema import SCHEMA, validate
from compiler.front.structure import ANNOTATIONS
from compiler.front.yaml import read_tree
from compiler.source import Source

GOOD = """\
netlang: 1
name: lenet5
doc: a net
use: [std/resnet]
let: {classes: 10, rates: [0.1, 0.2], pairs: [[1, 2], [3, 4]]}
blocks:
  residual(C, stride=1):
    inputs: {x: [N, D, H, W]}
    layers: {out: "conv(C, 3) -> relu"}
cells:
  rnn(H):
    inputs: {x: [D]}
    state: {h: [H]}
    params: {"U, V": "f32[H, H]"}
    step: {h': tanh(U @ h)}
    output: h'
networks:
  net:
    doc: it
    inputs: {image: [N, 1, 28, 28]}
    layers: [flatten, linear(classes)]
    outputs: {logits: linear}
    keys: {conv1: features.0}
    weights: {file: a.safetensors, layout: torchvision, sha256: abc}
    assert: [true]
variables: {canvas: {init: content, shape: [1, 3, 8, 8]}}
data: {train: digits(split=train)}
train:
  epochs: 20
  batch: size
  seed: 3
  draw: {z: "normal(N, 64)"}
  steps:
    - update: [net, canvas]
      minimize: cross_entropy(net(image), label)
      with: sgd(lr=0.05)
      clip_norm: 1
      mode: {net: eval}
  metrics: {accuracy: "accuracy(net(image), label)"}
  sample: {picture: canvas}
  checkpoint: {every: 100, keep: 2}
  evaluate: {every: 100}
assert:
  - params(net) == 61706
"""


def report(text: str) -> list[Diagnostic]:
    return validate(read_tree(Source("spec.yaml", text)))


def only(text: str) -> Diagnostic:
    (found,) = report(text)
    return found


def marked(found: Diagnostic) -> str:
    assert found.span is not None
    return found.span.text


def repaired(text: str, found: Diagnostic) -> str:
    assert found.fix is not None
    return text[: found.fix.span.start] + found.fix.replacement + text[found.fix.span.end :]


def test_a_spec_with_every_kind_of_key_is_accepted() -> None:
    assert report(GOOD) == []


def test_an_unknown_key_is_hinted_and_its_fix_repairs_it() -> None:
    text = GOOD.replace("    layers: [flat", "    layer: [flat")
    found = only(text)
    assert (found.code, marked(found), found.help) == ("NL120", "layer", "did you mean `layers`?")
    assert found.message == "network `net` has no key `layer`"
    assert repaired(text, found) == GOOD


def test_a_key_at_the_wrong_place_is_sent_home() -> None:
    found = only("netlang: 1\nepochs: 3\n")
    assert (found.code, found.help) == ("NL120", "`epochs` belongs in `train`")


def test_a_key_like_no_other_gets_the_list() -> None:
    found = only("netlang: 1\nqqqqq: 3\n")
    assert found.help is None
    assert "`networks`" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "message", "mark"),
    [
        ("networks: {n: {inputs: {x: [N]}, layers: relu}}", "`layers` must be a mapping or a list, not text", "relu"),
        ("use: std/resnet", "`use` must be a list, not text", "std/resnet"),
        ("let: {a: {b: 1}}", "constant `a` must be an expression or a list, not a mapping", "a"),
        ("networks: {n: {inputs: {x: [N]}, layers: {a: [relu]}}}", "entry `a` must be an expression, not a list", "a"),
        ("networks: [net]", "`networks` must be a mapping, not a list", "networks"),
        ("data: {train: 3}", "source `train` must be text, not a whole number", "3"),
        ("name: yes\ndoc: 1.5", "`doc` must be text, not a number", "1.5"),
        (
            "networks: {n: {inputs: {x: 3}, layers: [relu]}}",
            "input `x` must be a list of sizes or a type such as `f32[N, 3]`, not a whole number",
            "3",
        ),
        (
            "networks: {n: {inputs: {x: [true]}, layers: [relu]}}",
            "size 1 of input `x` must be a whole number or an expression, not true or false",
            "true",
        ),
    ],
)
def test_a_wrong_kind_is_named_in_the_words_of_the_user(text: str, message: str, mark: str) -> None:
    found = only(f"netlang: 1\n{text}\n")
    assert (found.code, found.message, marked(found)) == ("NL121", message, mark)


def test_a_number_where_text_belongs_is_quoted() -> None:
    text = "netlang: 1\nname: 1998\n"
    assert repaired(text, only(text)) == 'netlang: 1\nname: "1998"\n'


@pytest.mark.parametrize(
    ("text", "message", "mark"),
    [
        ("networks: {n: {layers: [relu]}}", "network `n` has no `inputs`", "n"),
        ("networks: {n: {inputs: {x: [N]}}}", "network `n` has no `layers`", "n"),
        ("blocks: {b: {doc: text}}", "block `b` has no `layers`", "b"),
        ("cells: {c(H): {inputs: {x: [D]}, state: {h: [H]}, step: {h': h}}}", "cell `c(H)` has no `output`", "c(H)"),
        ("variables: {v: {shape: [3]}}", "variable `v` has no `init`", "v"),
        ("train: {epochs: 1}", "`train` has no `steps`", "train"),
        ("train: {epochs: 1, steps: [{update: a, minimize: b}]}", "step 1 of `steps` has no `with`", "update"),
    ],
)
def test_a_missing_key_is_reported_at_its_owner(text: str, message: str, mark: str) -> None:
    found = only(f"netlang: 1\n{text}\n")
    assert (found.code, found.message, marked(found)) == ("NL122", message, mark)
    assert found.help is not None


@pytest.mark.parametrize("version", ["2", "one", "1.5", "true", "[1]"])
def test_an_unknown_version_is_refused(version: str) -> None:
    found = only(f"netlang: {version}\n")
    assert (found.code, found.help) == ("NL123", "this compiler reads `netlang: 1`")


def test_a_missing_version_is_added_by_the_fix() -> None:
    text = "# a spec\nname: net\n"
    found = only(text)
    assert (found.code, found.help) == ("NL123", "add the line `netlang: 1`")
    assert repaired(text, found) == "# a spec\nnetlang: 1\nname: net\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {steps: [{update: a, with: b, minimize: c}]}", "`train` has neither `epochs` nor `iterations`"),
        ("train: {epochs: 1, iterations: 2, steps: [{update: a, with: b, minimize: c}]}", "`train` has both `epochs` and `iterations`"),
        ("train: {epochs: 1, steps: [{update: a, with: b}]}", "step 1 of `steps` has neither `minimize` nor `maximize`"),
        (
            "train: {epochs: 1, steps: [{update: a, with: b, minimize: c, maximize: d}]}",
            "step 1 of `steps` has both `minimize` and `maximize`",
        ),
    ],
)
def test_one_of_two_keys_is_asked_for(text: str, message: str) -> None:
    found = only(f"netlang: 1\n{text}\n")
    assert (found.code, found.message) == ("NL124", message)


@pytest.mark.parametrize(
    ("text", "message", "mark"),
    [
        ("networks: {n: {inputs: {x: [N]}, layers: []}}", "`layers` is empty", "[]"),
        ("networks: {n: {inputs: {}, layers: [relu]}}", "`inputs` is empty", "{}"),
        ("train:", "`train` is empty", "train"),
        ("data: {train: ~}", "source `train` is empty", "train"),
    ],
)
def test_what_is_empty_is_reported(text: str, message: str, mark: str) -> None:
    found = only(f"netlang: 1\n{text}\n")
    assert (found.code, found.message, marked(found)) == ("NL125", message, mark)


def test_a_word_outside_an_enumeration_is_refused() -> None:
    found = only(GOOD.replace("net: eval", "net: evil"))
    assert (found.code, found.message) == ("NL126", "mode `net` must be `train` or `eval`, not `evil`")


def test_every_mistake_of_a_file_is_reported_in_its_order() -> None:
    text = GOOD.replace("name: lenet5", "nam: lenet5").replace("epochs: 20", "epoch: 20").replace("use: [std/resnet]", "use: 3")
    found = report(text)
    assert [item.code for item in found] == ["NL120", "NL121", "NL120"]


def test_two_misspelt_keys_are_not_repaired_to_the_same_one() -> None:
    found = report(GOOD.replace("    layers: [flat", "    layer: [relu]\n    layerss: [flat"))
    assert [item.fix is not None for item in found] == [True, False]


def test_every_code_is_explained() -> None:
    assert {f"NL{number}" for number in range(120, 127)} <= set(CODES)


def test_a_node_that_aliases_share_is_reported_once() -> None:
    text = "netlang: 1\nnetworks:\n  a: &a {inputs: {x: [N]}, layers: [relu], extra: 1}\n  b: *a\n"
    assert only(text).code == "NL120"


def test_a_number_out_of_range_is_reported_like_any_mistake() -> None:
    found = report("netlang: 1\nlet: {a: 99999999999999999999}\nnam: x\n")
    assert [item.code for item in found] == ["NL009", "NL120"]


def test_many_unknown_keys_cost_no_more_than_reading_them() -> None:
    text = "netlang: 1\n" + "".join(f"layerz{number}: 1\n" for number in range(2000))
    found = report(text)
    assert len(found) == 2000
    assert sum(item.fix is not None for item in found) <= 20


def subschemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    inner = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    for item in inner:
        if isinstance(item, dict):
            yield from subschemas(item)


def test_the_schema_is_one_and_uses_only_what_the_interpreter_knows() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    known = {"type", "properties", "required", "additionalProperties", "items", "const", "enum", "minItems", "minProperties", "oneOf"}
    for schema in subschemas(SCHEMA):
        assert set(schema) <= known | ANNOTATIONS
        assert all(set(option) == {"required"} and len(option["required"]) == 1 for option in schema.get("oneOf", []))
        assert set(schema.get("required", [])) <= set(schema.get("properties", {}))


WORDS = st.sampled_from(["x", "conv(3, 3)", "f32[N]", "", "true", "null", "1", "train", "eval", "a: b", "# c"])
KEYS = WORDS.filter(bool)
LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "string": WORDS,
    "integer": st.integers(-3, 2**40) | st.just(2.0),
    "number": st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 9),
    "boolean": st.booleans(),
}
ANYTHING = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers(0, 2) | st.just(1.0) | st.just(0.5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
)


@st.composite
def near_values(draw: st.DrawFn, schema: dict[str, Any]) -> Any:
    """A value that mostly fits a schema: one node in thirty is anything, one mapping in twenty lacks or has a key it should not."""
    if draw(st.integers(0, 29)) == 29:
        return draw(ANYTHING)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    kind = draw(st.sampled_from(schema["type"]))
    if kind == "array":
        return draw(st.lists(near_values(schema["items"]), min_size=draw(st.sampled_from([0, 1, 1, 1])), max_size=2))
    if kind != "object":
        return draw(LEAVES[kind])
    if "properties" not in schema:
        members = near_values(schema["additionalProperties"])
        return draw(st.dictionaries(KEYS, members, min_size=draw(st.sampled_from([0, 1, 1, 1])), max_size=2))
    options = [option["required"][0] for option in schema.get("oneOf", [])]
    free = [name for name in schema["properties"] if name not in schema["required"] and name not in options]
    names = [*schema["required"], *draw(st.lists(st.sampled_from(free), unique=True, max_size=3) if free else st.just([]))]
    if options:
        names += draw(st.sampled_from([options[:1], options[1:], options]))
    if names and draw(st.integers(0, 19)) == 19:
        names.pop(draw(st.integers(0, len(names) - 1)))
        names.append(draw(st.sampled_from([*schema["properties"], "unknown"])))
    return {name: draw(near_values(schema["properties"].get(name, {"type": ["string"]}))) for name in names}


@settings(max_examples=300, deadline=None)
@given(st.deferred(lambda: near_values(SCHEMA)).filter(lambda data: isinstance(data, dict)))
def test_the_interpreter_and_json_schema_agree(data: dict[str, Any]) -> None:
    expected = jsonschema.Draft202012Validator(SCHEMA).is_valid(data)
    found = report(json.dumps(data, ensure_ascii=False))
    assert (found == []) == expected, (data, found)
