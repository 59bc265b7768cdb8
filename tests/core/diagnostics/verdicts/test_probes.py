from unbatch.core.diagnostics.record import VERDICTS
from unbatch.core.diagnostics.verdicts import judge_probe, judge_probes


def test_probes_are_as_good_as_the_worst():
    assert [judge_probe("split", value, 0.05) for value in (0.02, 0.2, 0.5)] == list(VERDICTS)
    assert [judge_probe("removed", 0.4 + beyond, 0.4) for beyond in (0.02, 0.2, 0.5)] == list(VERDICTS)
    found = judge_probes(verdicts=["fine", "look here"], values=[0.02, 0.2], expected=[0.05, 0.0], names=["x", "y"])
    assert (found.verdict, found.value) == ("look here", 0.2)
    assert "1 of 2 probes pass; furthest off is y: 20% where 0% are right" in found.text
    assert judge_probes(verdicts=[], values=[], expected=[], names=[]).verdict == "look here"
