"""Loaders: which windows make up the batch of a step, decided by (seed, step) alone."""

from collections.abc import Callable, Iterator

import numpy as np
from lightning import Trainer
from numpy.typing import NDArray

from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.seeding import derive_seed

Gather = Callable[[NDArray[np.int64]], EcgBatch]


class TrainLoader:
    """Shuffled batches for a number of steps; every epoch is a new order, incomplete batches at its end are left out.

    The batch of a step depends on (seed, step) and not on what came before, so that a resumed run sees the windows that
    an uninterrupted one would have. Each rank gathers its own consecutive share of the global batch.

    Args:
        rows: (N,) windows to train on.
        batch_size: Windows of the global batch.
        n_steps: Length of the loader.
        seed: Of the order.
        gather: Rows -> batch.
        start: Called when iteration begins; the step it begins with.
        rank: Of this process.
        world_size: Number of processes.

    Raises:
        ValueError: If there are fewer windows than a batch, or the batch does not divide among the processes.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        batch_size: int,
        n_steps: int,
        seed: int,
        gather: Gather,
        start: Callable[[], int] = lambda: 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if len(rows) < batch_size:
            raise ValueError(f"{len(rows)} training windows do not fill a batch of {batch_size}")
        if batch_size % world_size:
            raise ValueError(f"a batch of {batch_size} does not divide among {world_size} processes")
        self.rows = rows
        self.batch_size = batch_size
        self.n_steps = n_steps
        self.seed = seed
        self.gather = gather
        self.start = start
        self.rank = rank
        self.share = batch_size // world_size

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every window is seen at most once."""
        return len(self.rows) // self.batch_size

    def __len__(self) -> int:
        return self.n_steps

    def rows_of(self, step: int, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Windows of this rank's batch at a step, given the order of that step's epoch."""
        first = step % self.steps_per_epoch * self.batch_size + self.rank * self.share
        return self.rows[order[first : first + self.share]]

    def order_of(self, epoch: int) -> NDArray[np.int64]:
        """The order of an epoch: a permutation of the training windows."""
        return np.random.default_rng(derive_seed(self.seed, "order", epoch)).permutation(len(self.rows))

    def state_dict(self) -> dict[str, int]:
        """What a resumed run must have in common with the one it goes on with."""
        return {"n_windows": len(self.rows), "batch_size": self.batch_size, "seed": self.seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Check that a resumed run goes on with the same windows; the position comes from `start`.

        Raises:
            ConfigError: If the windows, the batch size or the seed are others than before.
        """
        now = self.state_dict()
        changed = [f"{key} was {state[key]}, is {now[key]}" for key in now if state.get(key, now[key]) != now[key]]
        if changed:
            raise ConfigError([f"resume: the data differ from those the run began with ({'; '.join(changed)})"])

    def __iter__(self) -> Iterator[EcgBatch]:
        epoch, order = -1, self.rows
        for step in range(self.start(), self.n_steps):
            if step // self.steps_per_epoch != epoch:
                epoch = step // self.steps_per_epoch
                order = self.order_of(epoch)
            yield self.gather(self.rows_of(step, order))


def train_loader(trainer: Trainer, rows: NDArray[np.int64], batch_size: int, seed: int, gather: Gather) -> TrainLoader:
    """Batches from the step at which a trainer stands to its last, for its rank."""
    parts = trainer.accumulate_grad_batches
    return TrainLoader(
        rows,
        batch_size,
        trainer.max_steps * parts,
        seed,
        gather,
        start=lambda: trainer.global_step * parts,
        rank=trainer.global_rank,
        world_size=trainer.world_size,
    )


class EvalLoader:
    """Batches in order, the last one incomplete. Every process goes through all of them, and finds what one would.

    Args:
        rows: (N,) windows.
        batch_size: Windows a batch.
        gather: Rows -> batch.
    """

    def __init__(self, rows: NDArray[np.int64], batch_size: int, gather: Gather) -> None:
        self.gather = gather
        self.batches = [rows[at : at + batch_size] for at in range(0, len(rows), batch_size)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[EcgBatch]:
        return map(self.gather, self.batches)


def spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most `most` of the rows, evenly spaced, in order."""
    if len(rows) <= most:
        return rows
    chosen = np.linspace(0, len(rows) - 1, most).round().astype(np.int64)
    return rows[chosen]
