"""What a program's samples are, computed, and as files: pictures, points, text. Nothing here changes a run.

Every sample starts from the same draws, whichever others are computed and however often. Where a sample's size is N, N is `count`,
or as many as are looked at with ease, and at most what the evaluation data holds. Text is drawn character by character.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from compiler.front.checked import Checked
from compiler.ir.training import Carry, Points, Program, Sample, Text
from compiler.passes.program_plan import name_input
from netlang.data.sequences import ALPHABET, Characters, encode
from netlang.report.pictures import encode_grid, encode_scatter, require_pillow
from netlang.training.engine import START, Engine
from netlang.training.failures import failure
from netlang.training.feed import Evaluation
from netlang.training.functions import BATCH
from netlang.training.seeds import Purpose, derive_seed

if TYPE_CHECKING:
    import numpy as np

Sampled: TypeAlias = "np.ndarray[Any, Any] | str"
"""An array of pictures or points, or a text."""

PICTURES: Final = 64
POINTS: Final = 1024
LOGITS: Final = "logits"
BEGINNING: Final = "\n"
"""What a text without a prompt follows on."""


@final
@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of samples in place of what the spec says (None): how many, and how text is written."""

    count: int | None = None
    prompt: str | None = None
    length: int | None = None
    temperature: float | None = None


@final
class Sampler:
    """Computes a program's samples with an engine's weights as they are; `data` holds what the samples read."""

    def __init__(self, checked: Checked, engine: Engine, data: Evaluation, seed: int, wanted: Wanted | None = None) -> None:
        self._checked = checked
        self._samples = samples_of(checked)
        self._engine = engine
        self._data = data
        self._seed = seed
        self._wanted = wanted or Wanted()

    def compute(self, name: str) -> Sampled:
        """The sample: an array [K, …], or for text the prompt with what follows it."""
        sample = self._samples[name]
        self._engine.begin_evaluation()
        try:
            return self._write(name, sample) if isinstance(sample, Text) else self._compute(name, sample)
        finally:
            self._engine.end_evaluation()

    def _compute(self, name: str, sample: Sample) -> np.ndarray[Any, Any]:
        usual = POINTS if isinstance(sample, Points) else PICTURES
        count = self._wanted.count if depends_on_count(sample) else None
        rows, batch = self._data.take({value.name for value in sample.graph.inputs}, usual if count is None else count)
        if count is not None and rows < count:
            raise failure("NL732", f"`{name}` shows evaluation data, which holds {rows:,} examples, not {count:,}", help="ask for fewer")
        (found,) = self._engine.compute(name, self._engine.place(self._data.fixed | batch), rows).values()
        return found

    def _write(self, name: str, sample: Text) -> str:
        import numpy as np

        wanted = self._wanted
        text = sample.prompt if wanted.prompt is None else wanted.prompt
        length = sample.length if wanted.length is None else wanted.length
        temperature = sample.temperature if wanted.temperature is None else wanted.temperature
        longest = find_characters(self._checked, name, sample).length
        generator = np.random.default_rng(derive_seed(self._seed, Purpose.EVALUATION))
        carried = sample.graph.outputs.keys() - {LOGITS}
        states = self._engine.compute(START, {}, 1) if carried else {}
        numbers = encode(text or BEGINNING)[0 if carried else -longest :]
        written = []
        for _ in range(length):
            given = {sample.field: numbers[None]} | {key: states[key] for key in carried}
            states = self._engine.compute(name, self._engine.place(given), 1)
            number = draw_number(states[LOGITS][0, -1], temperature, generator)
            written.append(ALPHABET[number])
            numbers = np.array([number] if carried else [*numbers, number][-longest:], np.int64)
        return text + "".join(written)


def samples_of(checked: Checked) -> Mapping[str, Sample]:
    """The samples of a spec's program."""
    program = checked.require().program
    return {} if program is None else program.samples


def choose_samples(checked: Checked, names: Sequence[str]) -> Checked:
    """The spec with these samples of its program (all where none is named) and nothing else of it.

    SpecError NL710 where the spec has none, NL731 where it has none of that name.
    """
    samples = samples_of(checked)
    if checked.program is None or not samples:
        help = "add what is to be seen to its section `train`: `sample: {pictures: G(z)}`"
        raise failure("NL710", f"`{checked.name[:100]}` has no samples", help=help)
    for name in names:
        if name not in samples:
            near = difflib.get_close_matches(name, samples, n=1)
            known = ", ".join(f"`{item}`" for item in samples)
            help = f"did you mean `{near[0]}`?" if near else f"it has {known}"
            raise failure("NL731", f"`{checked.name[:100]}` has no sample `{name[:100]}`", help=help)
    program, chosen = checked.program, {name: samples[name] for name in names or samples}
    program = dataclasses.replace(program, steps=(), metrics={}, variables={}, carry=only_start(program), samples=chosen)
    return dataclasses.replace(checked, program=program)


def only_start(program: Program) -> Carry | None:
    """The carried states of a program that trains nothing: as they begin."""
    return None if program.carry is None else Carry(program.carry.start, program.carry.start)


def draw_number(logits: np.ndarray[Any, Any], temperature: float, generator: np.random.Generator) -> int:
    """A number drawn from softmax(logits / temperature) over the alphabet; the likeliest one at temperature 0."""
    import numpy as np

    known = logits[: len(ALPHABET)].astype(np.float64)
    if temperature == 0:
        return int(known.argmax())
    shares = np.exp((known - known.max()) / temperature).cumsum()
    return int(min(np.searchsorted(shares, generator.random() * shares[-1], side="right"), len(known) - 1))


def depends_on_count(sample: Sample) -> bool:
    """Whether a sample's size is N."""
    return not isinstance(sample, Text) and any(BATCH in value.type.shape[0].symbols for value in sample.graph.outputs.values())


def require_samples(checked: Checked, wanted: Wanted | None = None) -> None:
    """What can be told of samples before anything is computed: SpecError NL730 without Pillow, NL732 for what cannot be made."""
    samples = samples_of(checked)
    chosen = wanted or Wanted()
    for name, sample in samples.items():
        if isinstance(sample, Text):
            _require_text(checked, name, sample, chosen)
        else:
            require_pillow()
    if chosen.count is not None and not any(map(depends_on_count, samples.values())):
        names = ", ".join(f"`{name}`" for name in samples)
        raise failure("NL732", f"how many {names} are does not depend on N", help="leave `--count` out, or draw N of them in the spec")
    texts = (chosen.prompt, chosen.length, chosen.temperature)
    if any(item is not None for item in texts) and not any(isinstance(sample, Text) for sample in samples.values()):
        names = ", ".join(f"`{name}`" for name in samples)
        raise failure("NL732", f"{names} are no text", help="leave `--prompt`, `--length` and `--temperature` out")


def _require_text(checked: Checked, name: str, sample: Text, wanted: Wanted) -> None:
    find_characters(checked, name, sample)
    prompt = sample.prompt if wanted.prompt is None else wanted.prompt
    strange = "".join(dict.fromkeys(letter for letter in prompt if letter not in ALPHABET))
    if strange:
        raise failure(
            "NL732",
            f"the prompt of `{name}` holds {', '.join(f'`{letter}`' for letter in strange[:10])}, which no text of `{sample.field}` does",
            sample.span if wanted.prompt is None else None,
            help=f"its characters are the line feed, the blank and {ALPHABET[2:]}",
        )


def find_characters(checked: Checked, name: str, sample: Text) -> Characters:
    """The reader of a text's field; SpecError NL732 where its numbers are no characters."""
    for source, reader in checked.readers.items():
        if isinstance(reader, Characters) and any(name_input(source, field) == sample.field for field in reader.fields(checked.folder)):
            return reader
    message = f"the numbers of `{sample.field}` stand for no characters that are known here, so `{name}` cannot be written"
    raise failure("NL732", message, sample.span, help="read the text with `text` or `shakespeare`")


def sample_file(name: str, iteration: int, suffix: str) -> str:
    """Where a run's folder has a sample."""
    return f"samples/{name}-{iteration:06d}{suffix}"


def name_texts(samples: Mapping[str, Sample]) -> dict[str, bool]:
    """What the files of `name_files` are called, and whether each is a text."""
    points = "+".join(name for name, sample in samples.items() if isinstance(sample, Points))
    found = {name: isinstance(sample, Text) for name, sample in samples.items() if not isinstance(sample, Points)}
    return found | ({points: False} if points else {})


def name_files(program: Program, sampled: Mapping[str, Sampled], suffix: str = ".png") -> dict[str, tuple[str, bytes]]:
    """What samples are as files: their content with their suffix, by sample; all points are one picture, named by `a+b`."""
    found: dict[str, tuple[str, bytes]] = {}
    points: dict[str, np.ndarray[Any, Any]] = {}
    for name, value in sampled.items():
        if isinstance(value, str):
            found[name] = ".txt", value.encode() + b"\n"
        elif isinstance(program.samples[name], Points):
            points[name] = value
        else:
            found[name] = suffix, encode_grid(value, suffix=suffix)
    if points:
        found["+".join(points)] = suffix, encode_scatter(points, suffix=suffix)
    return found
