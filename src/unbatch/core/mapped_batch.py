"""A new batch beside a finished fit: what was found of it."""

from dataclasses import dataclass, replace
from typing import Literal, Self, TypeAlias

from unbatch._types import BoolArray, FloatArray
from unbatch.core.mapped_effects import MappedEffects
from unbatch.core.novel_groups import Groups

StopReason: TypeAlias = Literal["converged", "max_rounds", "nothing shared"]


@dataclass(frozen=True, eq=False, kw_only=True)
class MappedBatch:
    """A new batch, mapped.

    Attributes
    ----------
    effects
        Its effects, relative to the reference.
    counted
        (n_states,) states whose cells were compared with those of the reference.
    identifiable
        Whether the batch shares states with the reference; if not, its effects are not known.
    information
        Effective number of cells by which it is compared.
    group
        Group of batches of the reference that it is compared with.
    groups
        Cells of the batch within each state, and which of them lie apart.
    open_states
        Whether its genes leave open which states its cells are of, so that each cell is shared out to several.
    shifts
        What takes its cells to those of the reference in the embedding, (n_states, n_dims) by round of the embedding.
    rounds
        Change of log delta by round, root mean square over well-measured genes.
    stop_reason
        Why the rounds ended.
    """

    effects: MappedEffects
    counted: BoolArray
    identifiable: bool
    information: float
    group: int
    groups: Groups
    open_states: bool
    shifts: tuple[FloatArray, ...]
    rounds: FloatArray
    stop_reason: StopReason

    def with_effects(self, effects: MappedEffects) -> Self:
        """Put other effects in the place of these."""
        return replace(self, effects=effects)
