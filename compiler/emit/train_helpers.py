"""Functions and classes that a printed training file needs whatever it trains, as text.

They do what netlang's own runs do: the order of batches, the seeds of draws, the buffers of earlier examples are the same.
"""

from __future__ import annotations

from typing import Final

DERIVE_SEED: Final = '''def derive_seed(purpose: int) -> int:
    """One seed of 64 bits for each purpose, so that what one consumes changes nothing for another."""
    low, high = np.random.SeedSequence([SEED, purpose]).generate_state(2, np.uint32)
    return int(low) << 32 | int(high)'''

PERMUTE: Final = '''def permute(count: int, key: list[int]) -> np.ndarray:
    """The numbers below `count` in an order that depends on `key` alone."""
    words = np.random.Philox(np.random.SeedSequence(key)).random_raw(count)
    return np.argsort(words, kind="stable")'''

EPOCH_WHOLE: Final = '''def batches(arrays: list[np.ndarray], epoch: int) -> Iterator[list[torch.Tensor]]:
    """One pass over the training data; its order depends on the seed and the epoch alone."""
    order = permute(len(arrays[0]), [SEED, {number}, epoch])
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        yield [torch.from_numpy(array[rows]).to(DEVICE) for array in arrays]'''

EPOCH_CUT: Final = '''def batches(arrays: list[np.ndarray], epoch: int) -> Iterator[list[torch.Tensor]]:
    """One pass over the training data in whole batches; its order depends on the seed and the epoch alone."""
    order = permute(len(arrays[0]), [SEED, {number}, epoch])
    for start in range(0, len(order) - BATCH + 1, BATCH):
        rows = order[start : start + BATCH]
        yield [torch.from_numpy(array[rows]).to(DEVICE) for array in arrays]'''

STREAM: Final = '''class Batches:
    """Batches without end, shuffled anew each epoch: the order depends on the seed, the source and the epoch alone."""

    def __init__(self, arrays: list[np.ndarray], source: int) -> None:
        self.arrays = arrays
        self.source = source
        self.count = {count}
        self.epoch = 0  # passes over the data that are complete
        self.start = 0

    def __next__(self) -> list[torch.Tensor]:
        if self.start == 0:
            self.order = permute(len(self.arrays[0]), [SEED, self.source, self.epoch])
        rows = self.order[self.start : min(self.start + BATCH, self.count)]
        self.start += BATCH
        if self.start >= self.count:
            self.epoch, self.start = self.epoch + 1, 0
        return [torch.from_numpy(array[rows]).to(DEVICE) for array in self.arrays]'''

STREAM_WHOLE: Final = STREAM.format(count="len(arrays[0])")
STREAM_CUT: Final = STREAM.format(count="len(arrays[0]) // BATCH * BATCH  # whole batches only")

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
    """Earlier examples, at most `size`: once full, it keeps every second one it is given and returns a random one in its place.

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
