import numpy as np
import pytest

from unbatch._check import InputError
from unbatch.core.pseudobulk import sign_bits, sign_codes


def test_bits_equal_the_published_sum():
    rng = np.random.default_rng(0)
    values, directions = rng.normal(size=(50, 4)), rng.normal(size=(4, 4))
    along = values @ directions
    expected = [sum(2**k for k in range(4) if along[j, k] > 0) for j in range(50)]
    assert sign_bits(values, directions).tolist() == expected


def test_a_cell_on_the_boundary_counts_as_not_positive():
    assert sign_bits(np.array([[0.0, 0.0], [0.0, 1.0]]), np.eye(2)).tolist() == [0, 2]


def test_codes_are_the_signs_of_right_singular_vectors():
    values = np.random.default_rng(1).normal(size=(200, 5)) * [9, 5, 3, 2, 1]
    samples = sign_codes(values)
    _, _, right = np.linalg.svd(values.T, full_matrices=False)
    flips = np.sign(np.sum(right.T * (values @ samples.directions), axis=0))
    expected = ((right.T * flips) > 0) @ 2 ** np.arange(5)
    assert np.array_equal(samples.labels[samples.codes], expected)


def test_planted_orthants_become_samples_of_their_own():
    rng = np.random.default_rng(2)
    centres = np.array([[10.0, 3.0], [10.0, -3.0], [-10.0, 3.0], [-10.0, -3.0]])
    truth = np.repeat(np.arange(4), 25)
    samples = sign_codes(centres[truth] + 0.1 * rng.normal(size=(100, 2)))
    assert samples.n_samples == 4
    assert len(set(zip(truth.tolist(), samples.codes.tolist(), strict=True))) == 4


def test_every_sample_has_cells_and_labels_ascend():
    values = np.random.default_rng(3).normal(size=(40, 10))  # 1,024 possible samples, 40 cells
    samples = sign_codes(values)
    assert np.array_equal(np.unique(samples.codes), np.arange(samples.n_samples))
    assert samples.n_samples <= 40
    assert np.all(np.diff(samples.labels) > 0)
    assert samples.codes.dtype == np.int32


def test_the_sign_convention_does_not_depend_on_the_decomposition():
    rng = np.random.default_rng(4)
    turned = np.linalg.qr(rng.normal(size=(4, 4)))[0]  # no direction lies along an axis
    values = rng.normal(size=(80, 4)) * [4, 3, 2, 1] @ turned
    samples = sign_codes(values)
    assert np.all(samples.directions[np.abs(samples.directions).argmax(axis=0), np.arange(4)] > 0)
    shuffle = np.random.default_rng(5).permutation(80)  # another order of cells makes LAPACK choose other signs
    again = sign_codes(values[shuffle])
    assert np.array_equal(again.labels[again.codes], samples.labels[samples.codes][shuffle])


@pytest.mark.parametrize("block", [1, 9, 50])
def test_bits_are_the_same_in_blocks(block):
    rng = np.random.default_rng(6)
    values, directions = rng.normal(size=(51, 7)), rng.normal(size=(7, 7))
    parts = [sign_bits(values[start : start + block], directions) for start in range(0, 51, block)]
    assert np.array_equal(np.concatenate(parts), sign_bits(values, directions))


def test_new_cells_can_be_given_a_sample():
    values = np.random.default_rng(7).normal(size=(300, 3))
    samples = sign_codes(values)
    assert np.array_equal(np.searchsorted(samples.labels, sign_bits(values, samples.directions)), samples.codes)


@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (5, 63)])
def test_impossible_shapes_are_refused(shape):
    with pytest.raises(InputError, match=f"{shape[0]} cells in {shape[1]} dimensions"):
        sign_codes(np.zeros(shape))
