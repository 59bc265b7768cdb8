"""Options of the default method."""

from dataclasses import dataclass

from unbatch._check import check_number, check_whole


@dataclass(frozen=True, kw_only=True)
class MatchedOptions:
    """Options of ``method="matched"``, the default.

    Raises
    ------
    InputError
        If an option is out of range.
    """

    n_dims: int = 20
    """Axes in which cells are compared. More of them tell finer states apart, but add noise to each comparison."""
    n_embedding_dims: int = 25
    """Axes of the embedding. More of them keep finer states apart, and more noise between cells."""
    max_states: int = 40
    """Most states that the cells are grouped in (about one per 40 cells). More of them leave less difference in
    composition inside a state, but compare fewer cells each; time and memory grow in proportion."""
    caliper: float = 6.0
    """How far the cells of a batch may lie from those of other batches in the same state to be compared with them, in
    within-batch standard deviations. A larger caliper compares more cells, at more risk of taking a difference between
    cell types for a batch effect; inf compares all."""
    min_support: float = 10.0
    """Effective number of cells in shared states by which two batches must be tied to be compared (a tenth of the
    smaller batch is always enough). A larger number leaves more batches without an estimate rather than with an
    uncertain one."""
    sketch_size: int = 50_000
    """Most cells that are held in memory to find states and first effects; of a larger input, four fifths are sampled
    evenly over batches and the rest are cells unlike all that is common. Effects are then fitted to all cells, or for
    effects only to these. A larger sketch finds smaller states, gives effects alone smaller errors, in proportion to
    its root, and takes memory and time in proportion."""
    max_rounds: int = 15
    """Most rounds of grouping cells and fitting effects. More let slow data settle."""
    tol: float = 0.01
    """Rounds end once log effects of well-measured genes move by less (root mean square). A larger value stops
    earlier."""

    def __post_init__(self) -> None:
        least = {"n_dims": 1, "n_embedding_dims": 1, "max_states": 1, "sketch_size": 100, "max_rounds": 1}
        for name, bound in least.items():
            check_whole(name, getattr(self, name), least=bound)
        check_number("caliper", self.caliper, above=0, infinite=True)
        check_number("min_support", self.min_support, above=0)
        check_number("tol", self.tol, above=0)
