import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from unbatch.core.diagnostics.families import FAMILIES, family_of, family_shift, rank_sum_test


@pytest.mark.parametrize(
    ("family", "members"),
    [
        ("mitochondrial", ["MT-CO1", "mt-Nd4", "MT-ATP6"]),
        ("ribosomal", ["RPL3", "RPS27A", "Rplp0", "RPSA", "RPL36A", "RPS4X", "RPL13A", "RPL7L1"]),
        ("haemoglobin", ["HBA1", "HBB", "Hba-a1", "Hbb-bs", "HBG2"]),
        ("dissociation", ["FOS", "JunB", "EGR1", "ATF3", "Dusp1", "ZFP36"]),
        ("stress", ["HSPA1A", "Hsp90aa1", "DNAJB1", "HSPA8", "MT2A"]),
        ("sex", ["XIST", "RPS4Y1", "Ddx3y", "KDM5D"]),
        ("", ["ACTB", "MTOR", "RPS6KA1", "HBEGF", "FOSB2", "CD3E", "MT", "1", "", "RPTOR", "HSPG2", "<b>", "Xistish"]),
    ],
)
def test_members(family, members):
    assert family_of(members) == [family] * len(members)


def test_each_family_has_its_source_and_reason():
    for family in FAMILIES:
        assert family.why
        assert any(year in family.source for year in ("2003", "2017", "2019", "2020", "2023"))
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_a_shift_is_found_with_its_size():
    rng = np.random.default_rng(0)
    log_delta, members = rng.normal(0, 0.2, 500), np.arange(500) < 20
    log_delta[members] += 0.5
    known = np.ones(500, dtype=bool)
    known[[0, 400]] = False
    found = family_shift(log_delta, members, known=known)
    assert found.n_genes == 19
    assert found.median_log_delta == pytest.approx(0.5, abs=0.15)
    assert found.pvalue < 1e-6
    assert family_shift(rng.normal(0, 0.2, 500), members, known=known).pvalue > 1e-3


def test_nothing_to_compare_is_not_significant():
    members, known = np.array([True, True, False]), np.ones(3, dtype=bool)
    for log_delta, asked in ((np.zeros(3), known), (np.ones(3), members), (np.ones(3), ~members), (np.ones(3), ~known)):
        found = family_shift(log_delta, members, known=asked)
        assert found.pvalue == 1
        assert found.n_genes == (members & asked).sum()


@pytest.mark.parametrize("sizes", [(1, 5), (3, 40), (30, 25)])
def test_the_test_of_ranks_is_that_of_scipy(sizes):
    rng = np.random.default_rng(0)
    for decimals in (8, 0):
        values = np.round(rng.normal(size=sum(sizes)) * 2, decimals) + np.arange(sum(sizes)) // sizes[0] % 2
        some, others = values[: sizes[0]], values[sizes[0] :]
        expected = mannwhitneyu(some, others, method="asymptotic").pvalue
        assert rank_sum_test(some, others) == pytest.approx(expected, rel=1e-12)
