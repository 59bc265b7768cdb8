"""Whether the iterations settled."""

from unbatch.core.diagnostics.verdicts.verdict import Verdict


def judge_convergence(*, stop_reason: str, n_rounds: int, change: float, tol: float) -> Verdict:
    """Say whether the iterations settled.

    Parameters
    ----------
    stop_reason
        Why they ended.
    n_rounds
        How many there were.
    change
        How far log effects moved in the last one.
    tol
        What ends them.
    """
    if stop_reason == "converged":
        return Verdict("convergence", "fine", change, tol, f"Effects settled after {n_rounds} rounds")
    if stop_reason == "nothing shared":
        return Verdict(
            "convergence",
            "do not trust",
            change,
            tol,
            "No two batches share a cell state: no effect was estimated",
            "Give batches that share cell types; raise caliper or max_states if they do",
        )
    return Verdict(
        "convergence",
        "look here",
        change,
        tol,
        f"Effects still moved by {change:.3f} in round {n_rounds}",
        "Fit again with more rounds (max_rounds, max_iter)",
    )
