"""Arrays for compiled leaves: one layout, and one row where genes do not differ."""

import numpy as np

from unbatch.core.plain import of_genes, plain


def test_an_array_of_one_row_is_that_of_any_genes():
    for_all, own = np.array([[[1.0, 0.5, 2.0]]]), np.random.default_rng(0).random((200, 1, 3))
    assert of_genes(for_all, slice(100, 102)) is for_all
    np.testing.assert_array_equal(of_genes(own, slice(100, 102)), own[100:102])
    np.testing.assert_array_equal(of_genes(own, np.array([7, 3])), own[[7, 3]])


def test_an_array_of_the_layout_is_given_itself_and_others_are_copied():
    array = np.arange(6.0).reshape(2, 3)
    assert plain(array) is array
    kept = array.copy()
    kept.flags.writeable = False
    for other in (array.T, array[:, ::2], array.astype(np.float32), kept):
        found = plain(other)
        np.testing.assert_array_equal(found, other)
        assert found.dtype == np.float64
        assert found.flags.c_contiguous
        assert found.flags.writeable
