"""What the loop asks of whatever computes: places tensors, draws, updates, measures, and hands its whole state out and takes it back.

Tensors that an engine has placed are opaque to the loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, final

from netlang.training.weights import Stored

if TYPE_CHECKING:
    import numpy as np

Placed: TypeAlias = dict[str, Any]

START: Final = "carry.start"
"""What `compute` calls the states at the start of an epoch; no name of a spec."""


@final
@dataclass(frozen=True, slots=True)
class Update:
    """What one update tells; `gradient_norm` is that before clipping."""

    objective: float
    learning_rate: float
    gradient_norm: float


@final
class NonFinite(Exception):
    """A number is NaN or infinite; nothing has been updated. `what` is the place: `objective`, `gradient`, `weight`."""

    def __init__(self, what: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(f"{what} {', '.join(names)}")
        self.what = what
        self.names = names


class Engine(ABC):
    """Abstract: one program's networks with their optimizers on one device. `backend` is what `--backend` calls it."""

    backend: ClassVar[str]
    threads: int

    @abstractmethod
    def place(self, arrays: Mapping[str, Any]) -> Placed:
        """NumPy arrays as this engine's tensors."""

    @abstractmethod
    def draw(self, rows: int) -> Placed:
        """Fresh draws of the program for a batch of `rows`."""

    @abstractmethod
    def begin(self, fixed: Placed) -> None:
        """Give variables their first values, from the data that stays the same; at the start of a run, not where one goes on."""

    @abstractmethod
    def carried(self) -> Placed:
        """The carried states of this iteration; their first values where none have been computed."""

    @abstractmethod
    def restart(self) -> None:
        """Carried states start anew: an epoch begins."""

    @abstractmethod
    def advance(self, inputs: Placed) -> None:
        """Compute the carried states of the next iteration, may add to `inputs`; before the iteration's first update."""

    @abstractmethod
    def update(self, index: int, inputs: Placed, iteration: int, total: int) -> Update:
        """Run step `index` of the program once, may add to `inputs`; raises NonFinite and then has updated nothing."""

    @abstractmethod
    def begin_evaluation(self) -> None:
        """Networks behave as in use, draws start anew from the run's seed; to be ended."""

    @abstractmethod
    def measure(self, inputs: Placed, rows: int) -> dict[str, float]:
        """The metrics of one batch, between `begin_evaluation` and `end_evaluation`."""

    @abstractmethod
    def compute(self, name: str, inputs: Placed, rows: int) -> dict[str, np.ndarray]:
        """The outputs of a sample's graph (or of `START`'s, the first carried states) by name, as arrays of their own.

        Between `begin_evaluation` and `end_evaluation`; `rows` is the size of a batch where the graph draws one.
        """

    @abstractmethod
    def end_evaluation(self) -> None:
        """Back to training, as if nothing had happened."""

    @abstractmethod
    def weights(self) -> dict[str, dict[str, Stored]]:
        """Views of every network's weights and statistics by state-dict key; valid until the next update."""

    @abstractmethod
    def optimizers(self) -> dict[str, Stored]:
        """Views of the optimizers' states, and of what else a run keeps; valid until the next update."""

    @abstractmethod
    def random_states(self) -> dict[str, Stored]:
        """The states of the generators that draws and dropout use."""

    @abstractmethod
    def load_weights(self, weights: Mapping[str, Mapping[str, Stored]]) -> None:
        """Take weights whose names and types have been checked."""

    @abstractmethod
    def load_state(self, optimizers: Mapping[str, Stored], random_states: Mapping[str, Stored]) -> None:
        """Take what `optimizers` and `random_states` gave; ValueError where it is another program's."""

    @abstractmethod
    def require_finite(self) -> None:
        """Raises NonFinite where a weight or an optimizer's state is NaN or infinite."""

    @abstractmethod
    def close(self) -> None:
        """Give back what was changed for the whole process."""
