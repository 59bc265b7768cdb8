"""Whether a batch acts on single states in its own way."""

from math import exp

from unbatch.core.diagnostics.verdicts.verdict import LEAST_COMPARED, Verdict

MOST_REMAINDER, GROSS_REMAINDER = 0.2, 0.5
MOST_DIFFERING = 0.25


def judge_remainder(
    *,
    sd: float,
    differing: float,
    n_genes: int,
    where: str,
    compared: float,
    of_states: bool = False,
    within: bool = False,
) -> Verdict:
    """Say whether a batch acts on single states in its own way.

    Where most cells are compared with nothing this cannot be seen: a batch that alters states so much that its cells
    are taken for other ones leaves no state to see it in.

    Parameters
    ----------
    sd
        Usual standard deviation of the effects of states, on a natural log scale.
    differing
        Share of the genes whose effects differ from state to state (q < 0.05).
    n_genes
        Number of genes that were looked at.
    where
        State and batch that depart most, in words; "" if no two batches are compared in any state.
    compared
        Share of the cells in states with another batch.
    of_states, within
        Whether the fit found effects of states, and whether it compared cells inside a condition only.
    """
    if not where:
        cannot = "No two batches are compared in any state: how effects differ between states cannot be told"
        return Verdict("remainder", "look here", 0.0, MOST_DIFFERING, cannot, "See overlap")
    text = (
        f"Effects of a batch differ from state to state by x or / {exp(sd):.2f} as a rule, surely (q < 0.05) in "
        f"{differing:.0%} of {n_genes:,} genes"
    )
    where = f", most in {where}"
    cure = f"One factor per gene and batch does not describe this: {_cure(of_states=of_states, within=within)}"
    if sd > GROSS_REMAINDER:
        return Verdict("remainder", "do not trust", sd, GROSS_REMAINDER, text + where, cure)
    if sd > MOST_REMAINDER:
        return Verdict("remainder", "look here", sd, MOST_REMAINDER, text + where, cure)
    if differing > MOST_DIFFERING:
        return Verdict("remainder", "look here", differing, MOST_DIFFERING, text + where, cure)
    if compared < LEAST_COMPARED:
        few = f"; but only {compared:.0%} of the cells are in a state with another batch, and the others tell nothing"
        seen = "Look at overlap first: a batch that alters states much may have its cells taken for others"
        return Verdict("remainder", "look here", compared, LEAST_COMPARED, text + few, seen)
    return Verdict("remainder", "fine", differing, MOST_DIFFERING, text)


def _cure(*, of_states: bool, within: bool) -> str:
    """Say what would help that was not done."""
    if of_states:
        return "adjust with state_specific" + ("" if within else ", or fit with match_within")
    return "fit with state_specific" + ("" if within else ", or with match_within")
