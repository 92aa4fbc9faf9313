"""From the text of a spec to its tree: a composer over libyaml's events, without recursion, under the limits of guards A2 and A5.

Scalars stay texts (scalars.py types them). All mistakes are collected; a syntax error and a passed limit end the reading.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn, final

import yaml

from compiler.diagnostics.quote import show
from compiler.diagnostics.record import Diagnostic, Label, SpecError
from compiler.front.files import check_characters, read_source
from compiler.front.flow_cuts import cut_by_block, cut_by_flow
from compiler.front.limits import ALIAS_NODES, SCALAR_CHARACTERS, TREE_DEPTH
from compiler.front.tree import Mapping, Node, Pair, Scalar, Sequence, Style
from compiler.front.yaml_errors import translate
from compiler.source import Source, Span

__all__ = ["read_source", "read_tree"]

STYLES: Final[dict[str | None, Style]] = {
    None: "plain", "": "plain", "'": "single", '"': "double", "|": "literal", ">": "folded",
}  # fmt: skip
MANY: Final = 100
"""So many mistakes end the reading."""


def read_tree(source: Source) -> Mapping:
    """The tree of a spec; raises SpecError with every mistake of its YAML."""
    check_characters(source)
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(source.text)
    composer = Composer(source)
    try:
        while not composer.is_finished:
            composer.take(loader.get_event())
    except yaml.MarkedYAMLError as error:
        composer.errors.append(translate(error, source, composer.innermost_flow(), composer.last))
    finally:
        loader.dispose()
    return composer.finish()


@final
class Frame:
    """A collection whose end has not come: `nodes` are items, or keys and values in turn; `weight` counts nodes, aliases in full."""

    __slots__ = ("anchor", "is_flow", "is_mapping", "nodes", "start", "weight")

    def __init__(self, is_mapping: bool, is_flow: bool, start: int, anchor: str | None) -> None:
        self.is_mapping = is_mapping
        self.is_flow = is_flow
        self.start = start
        self.anchor = anchor
        self.nodes: list[Node] = []
        self.weight = 1


@final
class Composer:
    """Takes events one by one and keeps a stack of open collections."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.errors: list[Diagnostic] = []
        self.frames: list[Frame] = []
        self.anchors: dict[str, tuple[Node, int] | None] = {}
        self.added_by_aliases = 0
        self.documents = 0
        self.root: Node | None = None
        self.last: Scalar | None = None
        self.is_finished = False

    def take(self, event: Any) -> None:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self.take_scalar(event)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            self.open_collection(event, kind is yaml.MappingStartEvent)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self.close_collection(event)
        elif kind is yaml.AliasEvent:
            self.take_alias(event)
        elif kind is yaml.DocumentStartEvent:
            self.documents += 1
            if self.documents == 2:
                span = Span(self.source, event.start_mark.index, event.end_mark.index)
                self.stop("NL010", "a second document begins here", span, "keep one document in a file")
        elif kind is yaml.StreamEndEvent:
            self.is_finished = True

    def add(self, node: Node, weight: int) -> None:
        if self.frames:
            frame = self.frames[-1]
            frame.nodes.append(node)
            frame.weight += weight
        else:
            self.root = node

    def take_scalar(self, event: Any) -> None:
        start = event.start_mark.index
        end = event.end_mark.index
        value: str = event.value
        style = STYLES[event.style]
        if event.anchor is not None or event.tag is not None:
            start = skip_properties(self.source.text, start, end)
            self.check_tag(event)
        if style == "literal" or style == "folded":
            end = start + len(self.source.text[start:end].rstrip())
        scalar = Scalar(value, Span(self.source, start, end), style)
        if style != "plain" and not value.isprintable():
            self.check_value(scalar)
        if len(value) > SCALAR_CHARACTERS:
            first_line = Span(self.source, start, min(end, start + 1))
            message = f"this text has {len(value)} characters, more than {SCALAR_CHARACTERS}"
            self.stop("NL006", message, first_line, "keep data in a file of its own")
        if event.anchor is not None:
            self.anchors[event.anchor] = (scalar, 1)
        if self.frames:
            frame = self.frames[-1]
            frame.nodes.append(scalar)
            frame.weight += 1
        else:
            self.root = scalar
        self.last = scalar

    def open_collection(self, event: Any, is_mapping: bool) -> None:
        start = event.start_mark.index
        if event.tag is not None or event.anchor is not None:
            start = skip_properties(self.source.text, start, event.end_mark.index)
            self.check_tag(event)
            if event.anchor is not None:
                self.anchors[event.anchor] = None
        if len(self.frames) >= TREE_DEPTH:
            span = Span(self.source, start, min(start + 1, len(self.source.text)))
            self.stop("NL006", f"lists and mappings are nested more than {TREE_DEPTH} levels deep", span, "use names instead of nesting")
        self.frames.append(Frame(is_mapping, bool(event.flow_style), start, event.anchor))

    def close_collection(self, event: Any) -> None:
        frame = self.frames.pop()
        end = event.end_mark.index
        nodes = frame.nodes
        if not frame.is_flow:
            end = nodes[-1].span.end if nodes and nodes[-1].span.source is self.source else end
            end = max(end, frame.start)
        span = Span(self.source, frame.start, end)
        node: Node = self.make_mapping(frame, span) if frame.is_mapping else self.make_sequence(frame, span)
        if frame.anchor is not None:
            self.anchors[frame.anchor] = (node, frame.weight)
        self.add(node, frame.weight)

    def make_sequence(self, frame: Frame, span: Span) -> Sequence:
        if frame.is_flow:
            self.report(cut_by_flow(frame.nodes, is_mapping=False))
        else:
            for item in frame.nodes:
                self.report(cut_by_block(item, is_key=False))
        return Sequence(tuple(frame.nodes), span)

    def make_mapping(self, frame: Frame, span: Span) -> Mapping:
        nodes = frame.nodes
        cut = cut_by_flow(nodes, is_mapping=True) if frame.is_flow else None
        self.report(cut)
        pairs: list[Pair] = []
        seen: dict[str, Scalar] = {}
        for key, value in zip(nodes[::2], nodes[1::2], strict=True):
            if not isinstance(key, Scalar):
                kind = "list" if isinstance(key, Sequence) else "mapping"
                self.error("NL011", f"a key must be a word, this one is a {kind}", key.span, "write the key as plain text")
                continue
            if not frame.is_flow:
                self.report(cut_by_block(key, is_key=True) or cut_by_block(value, is_key=False))
            elif cut is not None:
                continue
            self.check_key(key, seen)
            seen.setdefault(key.value, key)
            pairs.append(Pair(key, value))
        return Mapping(tuple(pairs), span)

    def check_key(self, key: Scalar, seen: dict[str, Scalar]) -> None:
        if key.value in seen:
            first = seen[key.value]
            also = (Label(first.span, "first given here"),)
            diagnostic = Diagnostic("NL003", f"the key {show(key.value)} is given twice", Label(key.span), also, help="keep one of them")
            self.report(diagnostic)
        elif key.value == "<<" and key.style == "plain":
            help = "write the entries out; what several places share goes into `let` or into a block with parameters"
            self.error("NL005", "merge keys are not part of the language", key.span, help)
        elif not key.value:
            self.error("NL011", "a key is empty", key.span, "write a name before the `:`")

    def take_alias(self, event: Any) -> None:
        span = Span(self.source, event.start_mark.index, event.end_mark.index)
        name: str = event.anchor
        if name not in self.anchors:
            self.error("NL002", f"`*{name[:100]}` refers to no anchor", span, f"mark a node above with `&{name[:100]}`, or quote the text")
            self.add(Scalar("", Span(self.source, span.start, span.start)), 1)
            return
        target = self.anchors[name]
        if target is None:
            self.stop("NL006", f"`*{name[:100]}` stands inside the node it refers to", span, "write the inner part out")
        node, weight = target
        self.added_by_aliases += weight
        if self.added_by_aliases > ALIAS_NODES:
            message = f"aliases add more than {ALIAS_NODES} nodes ({self.added_by_aliases} up to here)"
            self.stop("NL006", message, span, "use a block with parameters and `repeat` instead of aliases")
        self.add(node, weight)

    def check_tag(self, event: Any) -> None:
        if event.tag is not None:
            begin = event.start_mark.index
            text = self.source.text[begin : event.end_mark.index]
            begin += max(text.find("!"), 0)
            end = begin + len(self.source.text[begin : begin + 200].split(maxsplit=1)[0])
            self.error(
                "NL004",
                f"tags such as {show(self.source.text[begin:end])} are not part of the language",
                Span(self.source, begin, end),
                "take the tag away",
            )

    def check_value(self, scalar: Scalar) -> None:
        for offset, character in enumerate(scalar.value):
            code = ord(character)
            if (code < 32 and character not in "\t\n") or 127 <= code < 160 or 0xD800 <= code < 0xE000:
                span = scalar.locate(offset, offset + 1)
                self.error("NL013", f"the character U+{code:04X} is not allowed in a value", span, "take it out")
                return

    def innermost_flow(self) -> int | None:
        """Where the innermost open `[` or `{` stands."""
        return self.frames[-1].start if self.frames and self.frames[-1].is_flow else None

    def report(self, diagnostic: Diagnostic | None) -> None:
        if diagnostic is not None:
            self.errors.append(diagnostic)
            if len(self.errors) >= MANY:
                raise SpecError(tuple(self.errors))

    def error(self, code: str, message: str, span: Span, help: str) -> None:
        self.report(Diagnostic(code, message, Label(span), help=help))

    def stop(self, code: str, message: str, span: Span, help: str) -> NoReturn:
        raise SpecError((*self.errors, Diagnostic(code, message, Label(span), help=help)))

    def finish(self) -> Mapping:
        if not self.errors and not isinstance(self.root, Mapping):
            top = Span(self.source, 0, 0)
            if self.root is None or (isinstance(self.root, Scalar) and self.root.is_missing):
                self.error("NL010", "the file is empty", top, "a spec begins with `netlang: 1`")
            else:
                kind = "a list" if isinstance(self.root, Sequence) else "one text"
                self.error(
                    "NL012", f"the file holds {kind}, not a mapping", self.root.span, "a spec is `key: value` lines, `netlang: 1` first"
                )
        if self.errors or not isinstance(self.root, Mapping):
            raise SpecError(tuple(self.errors))
        return self.root


def skip_properties(text: str, start: int, end: int) -> int:
    """The offset behind an anchor, a tag and what parts them from the node."""
    while start < end:
        if text[start] in "&!":
            while start < end and text[start] not in " \t\r\n":
                start += 1
        elif text[start] == "#":
            start = text.find("\n", start, end)
            if start < 0:
                return end
        elif text[start] in " \t\r\n":
            start += 1
        else:
            break
    return start
