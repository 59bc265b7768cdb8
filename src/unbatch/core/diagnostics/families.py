"""Genes that are known to follow how cells were handled rather than what they are: a small table with its sources."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from unbatch._types import BoolArray, FloatArray


@dataclass(frozen=True)
class Family:
    """A technical family of genes.

    Attributes
    ----------
    name
        What it is called.
    pattern
        Regular expression for its symbols, in capitals; human and mouse symbols differ in case only.
    why
        What sets it apart between batches.
    source
        Where the list comes from.
    """

    name: str
    pattern: str
    why: str
    source: str


_HGNC = "HGNC gene groups (Seal et al. 2023, Nucleic Acids Res. 51:D1003-D1009)"

FAMILIES = (
    Family(
        "mitochondrial",
        r"MT-.+",
        "broken or dying cells keep their mitochondria longer than their cytoplasm",
        f"{_HGNC}, 'Mitochondrially encoded' genes",
    ),
    Family(
        "ribosomal",
        r"RP[LS]\d+[AXYL]?\d*|RPLP[0-2]|RPSA|RP[LS]\d+L\d*",
        "short, loud transcripts whose share depends on chemistry and mapping",
        f"{_HGNC}, 'L ribosomal proteins' and 'S ribosomal proteins'",
    ),
    Family(
        "haemoglobin",
        r"HB(A1|A2|B|D|E1|G1|G2|M|Q1|Z)|HBA-A[12]|HBB-(B[12]|BS|BT|BH[0-3]|Y)|HBA-X",
        "red cells that were not lysed, and what they leave in the ambient solution",
        f"{_HGNC}, 'Hemoglobin subunits'; mouse: Mouse Genome Informatics, Hba and Hbb clusters",
    ),
    Family(
        "dissociation",
        r"FOSB?|FOSL[12]|JUN[BD]?|EGR[123]|ATF[34]|IER[23]|IER5|ZFP36(L[12])?|BTG[12]|NR4A[12]|KLF[246]|DUSP[12]|"
        r"SOCS3|CEBP[BD]|MYADM|NFKBIA|NFKBIZ|CYR61|CCN1|PPP1R15A|IRF1|MCL1|TRIB1|MAFF",
        "switched on within minutes by warm enzymatic dissociation",
        "van den Brink et al. 2017, Nat. Methods 14:935-936; O'Flanagan et al. 2019, Genome Biol. 20:210 (the core of "
        "immediate early genes that both report)",
    ),
    Family(
        "stress",
        r"HSPA1[ABL]|HSPA[58]|HSPB1|HSPB8|HSPH1|HSPD1|HSPE1|HSP90A(A1|B1)|HSP90B1|DNAJ(A1|B1|B4|A4)|BAG3|HSPA6|DDIT[34]|"
        r"GADD45[ABG]|HMOX1|MT1[AEFGMX]|MT2A?|MT1|SQSTM1",
        "answer to heat, waiting and oxidation before the cells were measured",
        "O'Flanagan et al. 2019, Genome Biol. 20:210 (heat shock proteins); Denisenko et al. 2020, Genome Biol. 21:130",
    ),
    Family(
        "sex",
        r"XIST|TSIX|RPS4Y[12]|DDX3Y|EIF1AY|EIF2S3Y|KDM5D|UTY|USP9Y|ZFY[12]?|TMSB4Y|NLGN4Y|TXLNGY|PRKY|SRY",
        "donors of different sex",
        "Tukiainen et al. 2017, Nature 550:244-248 (XIST, TSIX); Skaletsky et al. 2003, Nature 423:825-837 (genes of "
        "the male-specific region of Y)",
    ),
)
"""The table. A gene belongs to the first family that has it; sex before ribosomal, for RPS4Y1 tells sex."""

_ORDER = ("sex", *(family.name for family in FAMILIES if family.name != "sex"))


def family_of(genes: Sequence[str]) -> list[str]:
    """Name of the technical family of each gene, "" for most."""
    patterns = {family.name: re.compile(f"(?:{family.pattern})") for family in FAMILIES}
    return [next((name for name in _ORDER if patterns[name].fullmatch(gene.upper())), "") for gene in genes]


@dataclass(frozen=True)
class FamilyShift:
    """Result of `family_shift`.

    Attributes
    ----------
    n_genes
        Genes of the family with a known effect.
    median_log_delta
        Median of their log effects.
    pvalue
        Of a Wilcoxon rank sum test against all other genes, two-sided; 1 if nothing can be compared.
    """

    n_genes: int
    median_log_delta: float
    pvalue: float


def family_shift(log_delta: FloatArray, members: BoolArray, *, known: BoolArray) -> FamilyShift:
    """Compare the effects of a batch on a family with those on all other genes.

    Parameters
    ----------
    log_delta
        (n_genes,) log effects of one batch.
    members
        (n_genes,) genes of the family.
    known
        (n_genes,) where an effect is known.

    Returns
    -------
    FamilyShift
    """
    own, others = log_delta[members & known], log_delta[~members & known]
    if not own.size:
        return FamilyShift(0, 0.0, 1.0)
    constant = not others.size or bool(np.ptp(np.concatenate([own, others])) == 0)
    pvalue = 1.0 if constant else rank_sum_test(own, others)
    return FamilyShift(int(own.size), float(np.median(own)), pvalue)


def rank_sum_test(some: FloatArray, others: FloatArray) -> float:
    r"""Test whether one group tends to larger values than another: two-sided p value of Mann and Whitney (1947).

    .. math:: z = \frac{|U - n_1 n_2 / 2| - 1/2}{\sigma}, \qquad
              \sigma^2 = \frac{n_1 n_2}{12} \Big(n + 1 - \frac{\sum_t (t^3 - t)}{n (n - 1)}\Big)

    with t the numbers of equal values. The same as ``scipy.stats.mannwhitneyu(..., method="asymptotic")``, which takes
    half a second to load. Not all values may be equal.
    """
    n_some, n = len(some), len(some) + len(others)
    _, place, ties = np.unique(np.concatenate([some, others]), return_inverse=True, return_counts=True)
    rank = (np.cumsum(ties) - (ties - 1) / 2)[place]
    pairs = n_some * (n - n_some)
    away = abs(float(rank[:n_some].sum()) - n_some * (n_some + 1) / 2 - pairs / 2)
    alike = float((ties.astype(np.float64) ** 3 - ties).sum()) / (n * (n - 1))
    return min(1.0, 2 * float(special.ndtr(-(away - 0.5) / np.sqrt(pairs / 12 * (n + 1 - alike)))))
