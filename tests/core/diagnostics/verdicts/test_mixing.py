import pytest

from unbatch.core.diagnostics.verdicts import judge_mixing

MIXED = {"after": [0.52, 0.5], "expected": [0.5, 0.5], "elsewhere": [0.5, 0.48]}
MIXING = {"batches": ["a", "b"], "before": [1.0, 1.0], **MIXED}


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({}, "fine", "51% of a cell's neighbours .* 50% if .* .100% before"),
        ({"after": [0.5, 0.9]}, "look here", "most apart is 'b' .90% of .* 48% of those"),
        ({"after": [0.3, 0.3]}, "look here", "more mixed than their states allow"),
        ({"after": [0.2, 0.9], "elsewhere": [0.1, 0.8]}, "fine", "55% of a cell's neighbours"),
        ({name: [1.0, 1.0] for name in MIXED}, "fine", "100%"),
    ],
)
def test_verdicts_and_their_sentence(comes_to, changes, verdict, words):
    comes_to(judge_mixing(**(MIXING | changes)), verdict, words)
