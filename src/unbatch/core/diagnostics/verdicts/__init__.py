"""Verdicts: one line each, with the number behind it and what to do."""

from unbatch.core.diagnostics.verdicts.balance import judge_balance
from unbatch.core.diagnostics.verdicts.convergence import judge_convergence
from unbatch.core.diagnostics.verdicts.effects import judge_effects
from unbatch.core.diagnostics.verdicts.mixing import judge_mixing
from unbatch.core.diagnostics.verdicts.need import judge_need
from unbatch.core.diagnostics.verdicts.overlap import judge_overlap
from unbatch.core.diagnostics.verdicts.probes import judge_probe, judge_probes
from unbatch.core.diagnostics.verdicts.remainder import judge_remainder
from unbatch.core.diagnostics.verdicts.verdict import Judgement, Verdict, named

__all__ = [
    "Judgement",
    "Verdict",
    "judge_balance",
    "judge_convergence",
    "judge_effects",
    "judge_mixing",
    "judge_need",
    "judge_overlap",
    "judge_probe",
    "judge_probes",
    "judge_remainder",
    "named",
]
