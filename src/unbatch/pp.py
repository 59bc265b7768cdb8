"""Preprocess: adjusted counts as a layer."""

from anndata import AnnData
from scipy import sparse

from unbatch._check import InputError, check_slot
from unbatch._results import results_in
from unbatch.adjusting import Adjustment
from unbatch.core.adjust import AdjustOptions, Mode
from unbatch.offsets import cell_offsets
from unbatch.raw_counts import open_any, open_raw
from unbatch.slots import write_adjusted
from unbatch.stored_fit import read_slots


def adjust_counts(
    adata: AnnData,
    *,
    mode: Mode = "scale",
    state_specific: bool = False,
    keep_library_size: bool = False,
    max_factor: float = 20.0,
    seed: int = 0,
    layer: str | None = None,
    key_added: str = "adjusted",
) -> None:
    r"""Take the effect of its batch on its gene out of each count.

    .. math:: \text{scale:}\ Y_{gj} / \delta_{g k(j)}, \qquad
              \text{thin:}\ \mathrm{Binomial}\big(Y_{gj},\ \min_k \delta_{gk} / \delta_{g k(j)}\big)

    The counts are those that `unbatch.tl.batch_effects` was given. Scaled counts are what the mean
    batch, or the reference of the fit, would have given: not whole numbers, and their noise is scaled with them.
    Thinned counts are what the batch with the smallest effect on the gene would have given: whole numbers, and Poisson
    where the counts were, at the price of the counts that are taken away. Mapped cells are thinned to the batches of
    the model that they were mapped onto, as its own cells are. Neither is ever negative, and zeros stay zero. Use them
    where a method takes counts or normalises them (normalise, log, PCA, markers to look at); for
    differential expression keep the raw counts and give the model log delta as an offset: `unbatch.get.offsets`.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran; cells or genes may have been taken away since.
    mode
        ``"scale"`` or ``"thin"``.
    state_specific
        Take out the effect of the batch on the cell's own state, ``delta_gk rho_gsk``; needs a fit with
        ``state_specific=True``. Thinning is to the smallest effect over batches and states.
    keep_library_size
        Multiply the scaled counts of each cell by one number so that its total stays what it was, to float32. Not with
        ``mode="thin"``, which can only take counts away.
    max_factor
        No count is multiplied by more than this, so that few counts of a gene which is nearly absent in a batch do not
        become many; when thinning, no batch keeps less than one in this many. A larger value follows such effects, and
        the noise of the few counts, further; a smaller one leaves more of them in.
    seed
        Start of the random numbers of ``mode="thin"``, from 0 to 2^63 - 1. The draw of a count depends on the seed, the
        place of its cell in `adata` and the name of its gene alone.
    layer
        Where the raw counts are now; None for where `unbatch.tl.batch_effects` found them.
    key_added
        Name of the layer that is set; not that in which the raw counts are.

    Returns
    -------
    None
        Sets ``layers[key_added]``, CSR, (n_cells, n_genes), float32 if scaled and int32 if thinned, and in
        ``uns["unbatch"]["adjusted"][key_added]`` says what it is expressed in (``"expressed_in"``: the mean over
        batches, the reference, or the batch that detects a gene least), the options, and what met the cap:
        ``"capped_counts"``, ``"capped_effects"`` (of genes x batches) and ``"capped_genes"``, those with most such
        counts first. Another fit
        of `adata` keeps what is said of layers that are still there, and adds ``"by_an_earlier_fit"``.

    Raises
    ------
    InputError
        If the effects have not been estimated, or those of states are wanted and were not; if the batch column has gone
        or has other labels, values are not counts or are adjusted already, an option is out of range, or a count is
        above 2^31 - 1 and to be thinned; if `key_added` is where the raw counts are; or if `adata` is a view of a
        backed AnnData.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.datasets.toy()
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ub.pp.adjust_counts(adata)
    >>> adata.layers["adjusted"].dtype
    dtype('float32')
    """
    adata = results_in(adata)
    options = AdjustOptions(
        mode=mode,
        state_specific=state_specific,
        keep_library_size=keep_library_size,
        max_factor=max_factor,
        seed=seed,
    )
    fit = read_slots(adata)
    source = open_raw(adata, fit, layer=layer)
    _check_new_layer(key_added, layer, fit.layer)
    adjustment = Adjustment(source, fit, options=options)
    blocks = [block.counts for block in adjustment.blocks()]
    adata.layers[key_added] = sparse.csr_matrix(sparse.vstack(blocks, format="csr"))
    write_adjusted(adata, key_added, adjustment.record())


def add_offsets(adata: AnnData, *, state_specific: bool = False, key_added: str = "log_delta") -> None:
    r"""Put the log delta of its batch beside each count, :math:`\log \delta_{g k(j)}`: the offset of a count model.

    The layer is dense, since zeros have an offset too: four bytes per cell and gene (8 GB for 100,000 cells and 20,000
    genes). Models of sums over groups of cells need only `unbatch.get.pseudobulks`.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran; cells or genes may have been taken away since.
    state_specific
        Use the effect of the batch on the cell's own state, ``log(delta_gk rho_gsk)``; needs a fit with
        ``state_specific=True``.
    key_added
        Name of the layer that is set; not that in which the raw counts are.

    Returns
    -------
    None
        Sets ``layers[key_added]``, float32, (n_cells, n_genes).

    Raises
    ------
    InputError
        If the effects have not been estimated, or those of states are wanted and were not, or the batch column has
        gone or has new labels, `key_added` is where the raw counts are, or `adata` is a view of a backed AnnData.

    Warns
    -----
    InputWarning
        If cells are of a batch of which no effect is known: their offset is 0.
    """
    adata = results_in(adata)
    fit = read_slots(adata)
    _check_new_layer(key_added, fit.layer)
    adata.layers[key_added] = cell_offsets(open_any(adata), fit, state_specific=state_specific)


def _check_new_layer(key_added: str, *raw: str | None) -> None:
    """Refuse what is no name of a layer, and to write over the layers in which raw counts are."""
    check_slot("key_added", key_added)
    if key_added in raw:
        raise InputError(f"key_added is {key_added!r}, where the raw counts are: they would be lost, give another name")
