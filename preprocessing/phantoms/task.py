"""The work list of a dataset of phantoms."""

from dataclasses import dataclass

import numpy as np

from preprocessing.shards.pseudonyms import keyed_hash


@dataclass(frozen=True)
class PhantomTask:
    """One phantom to draw for a dataset; each is a subject of its own."""

    seed: int
    subject: str


def phantom_tasks(count: int, seed: int, name: str = "phantoms") -> list[PhantomTask]:
    """List what to draw for a dataset of phantoms; subjects depend on its name too."""
    seeds = np.random.SeedSequence(seed).generate_state(count, np.uint64).tolist()
    key = f"{name} of seed {seed}".encode()
    return [PhantomTask(own, keyed_hash(key, str(number))) for number, own in enumerate(seeds)]
