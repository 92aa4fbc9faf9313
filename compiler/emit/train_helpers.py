"""Functions and classes that a printed training file needs whatever it trains, as text.

They do what netlang's own runs do: the order of batches, the seeds of draws, the buffers of earlier examples are the same.
"""

from __future__ import annotations

from typing import Final

DERIVE_SEED: Final = '''def derive_seed(purpose: int) -> int:
    """One seed of 64 bits for each purpose, so that what one consumes changes nothing for another."""
    low, high = np.random.SeedSequence([SEED, purpose]).generate_state(2, np.uint32)
    return int(low) << 32 | int(high)'''

GENERATORS: Final = '''def generators(purpose: int) -> Iterator[np.random.Generator]:
    """A generator for each draw, seeded with the purpose and the count of draws."""
    for number in count(1):
        yield np.random.default_rng([derive_seed(purpose), number])'''

PERMUTE: Final = '''def permute(count: int, key: list[int]) -> np.ndarray:
    """The numbers below `count` in an order that depends on `key` alone."""
    words = np.random.Philox(np.random.SeedSequence(key)).random_raw(count)
    return np.argsort(words, kind="stable")'''

EPOCH: Final = '''def batches(arrays: list[np.ndarray], epoch: int) -> Iterator[list[torch.Tensor]]:
    """{doc}"""
    order = {order}
    for start in range(0, {last}, BATCH):
        rows = order[start : start + BATCH]
        yield [torch.from_numpy(array[rows]).to(DEVICE) for array in arrays]'''

STREAM: Final = '''class Batches:
    """{doc}"""

    def __init__(self, arrays: list[np.ndarray], source: int) -> None:
        self.arrays = arrays
        self.source = source
        self.count = {count}
        self.epoch = 0  # passes over the data that are complete
        self.start = 0

    def __next__(self) -> list[torch.Tensor]:
        if self.start == 0:
            self.order = {order}
        rows = self.order[self.start : min(self.start + BATCH, self.count)]
        self.start += BATCH
        if self.start >= self.count:
            self.epoch, self.start = self.epoch + 1, 0
        return [torch.from_numpy(array[rows]).to(DEVICE) for array in self.arrays]'''

AVERAGED: Final = '''@contextmanager
def averaged(averages: dict[nn.Parameter, torch.Tensor]) -> Iterator[None]:
    """Inside, weights are their averages."""
    weights = {parameter: parameter.detach().clone() for parameter in averages}
    with torch.no_grad():
        for parameter, average in averages.items():
            parameter.copy_(average)
    yield
    with torch.no_grad():
        for parameter, weight in weights.items():
            parameter.copy_(weight)'''

REPLAY_BUFFER: Final = '''class ReplayBuffer:
    """Earlier examples, at most `size`; once full, every second one it is given is kept and a random one returned.

    Shrivastava et al. 2017, arXiv:1612.07828.
    """

    def __init__(self, size: int, number: int) -> None:
        self.size = size
        self.key = [derive_seed(REPLAY), number]
        self.examples: list[torch.Tensor] = []
        self.uses = 0

    def exchange(self, given: torch.Tensor) -> torch.Tensor:
        generator = np.random.default_rng([*self.key, self.uses])
        self.uses += 1
        made = given.detach().clone()
        for row, example in enumerate(given.detach()):
            if len(self.examples) < self.size:
                self.examples.append(example.clone())
            elif generator.random() < 0.5:
                place = int(generator.integers(self.size))
                made[row] = self.examples[place]
                self.examples[place] = example.clone()
        return made'''


def print_epoch(number: int, *, whole: bool, follows: bool) -> str:
    """`batches`: one pass over source `number`, `whole` without an incomplete last batch, or with rows that follow one another."""
    if follows:
        doc = "One pass over the training data: each row of a batch follows on the same row of the batch before."
        order = "np.arange(len(arrays[0]) // BATCH * BATCH).reshape(BATCH, -1).T.reshape(-1)"
        return EPOCH.format(doc=doc, order=order, last="len(order)").replace(", epoch: int", "")
    last = "len(order) - BATCH + 1" if whole else "len(order)"
    doc = f"One pass over the training data{' in whole batches' if whole else ''}; its order depends on the seed and the epoch alone."
    return EPOCH.format(doc=doc, order=f"permute(len(arrays[0]), [SEED, {number}, epoch])", last=last)


def print_stream(*, whole: bool, follows: bool) -> str:
    """`Batches`: batches without end, `whole` without an incomplete last one, or with rows that follow one another."""
    count = "len(arrays[0]) // BATCH * BATCH  # whole batches only" if whole or follows else "len(arrays[0])"
    if follows:
        doc = "Batches without end: each row of a batch follows on the same row of the batch before."
        return STREAM.format(doc=doc, count=count, order="np.arange(self.count).reshape(BATCH, -1).T.reshape(-1)")
    doc = "Batches without end, shuffled anew each epoch: the order depends on the seed, the source and the epoch alone."
    return STREAM.format(doc=doc, count=count, order="permute(len(self.arrays[0]), [SEED, self.source, self.epoch])")
