import pytest

from unbatch.core.diagnostics.verdicts import judge_convergence


@pytest.mark.parametrize(
    ("reason", "verdict"), [("converged", "fine"), ("max_rounds", "look here"), ("nothing shared", "do not trust")]
)
def test_convergence(reason, verdict):
    found = judge_convergence(stop_reason=reason, n_rounds=4, change=0.2, tol=0.01)
    assert (found.verdict, found.value, found.threshold) == (verdict, 0.2, 0.01)
