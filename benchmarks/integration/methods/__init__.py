"""One thin file per method: `embed(adata, seed=...)` gives cells x dimensions from raw counts and `obs["batch"]`.

The file of a method is imported only by the Python that runs it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Where(StrEnum):
    """Which Python runs a method."""

    OURS = "ours"
    PEERS = "peers"
    SCVI = "scvi"


@dataclass(frozen=True)
class Method:
    """What a run must know of a method before it starts."""

    title: str
    where: Where
    random: bool = True
    """Whether the result depends on the seed; else it is run once."""
    after: str | None = None
    """Method whose result is the data that this one is given, with the same seed."""
    suffix: str = ".npy"
    """Kind of file that its result is kept in."""


METHODS = {
    "pca": Method("PCA, uncorrected", Where.PEERS, random=False),
    "harmony": Method("Harmony", Where.PEERS),
    "harmony_ridge": Method("Harmony, lambda 1", Where.PEERS),
    "scanorama": Method("Scanorama", Where.PEERS),
    "combat": Method("ComBat", Where.PEERS, random=False),
    "scvi": Method("scVI", Where.SCVI),
    "fitted": Method("fit", Where.OURS, suffix=".h5ad"),
    "unbatch": Method("X_unbatch", Where.OURS, after="fitted"),
    "adjusted_pca": Method("PCA of adjusted counts", Where.PEERS, after="fitted"),
    "split_effects": Method("effects between halves of a batch", Where.OURS, after="fitted", suffix=".csv"),
}
"""All methods by the name of their file."""

BASELINE = "pca"
PEERS = ("harmony", "harmony_ridge", "scanorama", "combat", "scvi")
OURS = ("unbatch", "adjusted_pca")
SCORED = (BASELINE, *PEERS, *OURS)
"""Methods that give an embedding: the others give counts, or effects."""
