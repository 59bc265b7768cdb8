"""What probes of over-correction come to, each and all of them."""

from collections.abc import Sequence

from unbatch.core.diagnostics.verdicts.verdict import Judgement, Verdict

MOST_CALLED, GROSSLY_CALLED = 0.1, 0.25
MOST_DRAWN, GROSSLY_DRAWN = 0.1, 0.3


def judge_probe(probe: str, value: float, expected: float) -> Judgement:
    """Say what one probe comes to.

    Parameters
    ----------
    probe
        "split" or "removed".
    value
        What was found.
    expected
        What is right: of a split, the share that chance calls; of a removal, the share of neighbours.
    """
    some, gross = (MOST_CALLED, GROSSLY_CALLED) if probe == "split" else (MOST_DRAWN, GROSSLY_DRAWN)
    beyond = value if probe == "split" else value - expected
    if beyond > gross:
        return "do not trust"
    return "look here" if beyond > some else "fine"


def judge_probes(
    *, verdicts: Sequence[Judgement], values: Sequence[float], expected: Sequence[float], names: Sequence[str]
) -> Verdict:
    """Say what all probes come to: the worst of them.

    Parameters
    ----------
    verdicts, values, expected, names
        Of each probe.
    """
    if not verdicts:
        return Verdict(
            "probes", "look here", 0.0, MOST_CALLED, "Too few cells to probe with", "Judge by the other checks"
        )
    order: list[Judgement] = ["fine", "look here", "do not trust"]
    worst = max(range(len(verdicts)), key=lambda at: (order.index(verdicts[at]), values[at] - expected[at]))
    n_fine = sum(verdict == "fine" for verdict in verdicts)
    text = (
        f"{n_fine} of {len(verdicts)} probes pass; furthest off is {names[worst]}: {values[worst]:.0%} where "
        f"{expected[worst]:.0%} are right"
    )
    cure = "" if verdicts[worst] == "fine" else "See get.diagnostics(adata, 'probes')"
    return Verdict("probes", verdicts[worst], values[worst], expected[worst], text, cure)
