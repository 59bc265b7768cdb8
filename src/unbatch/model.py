"""The model as one object: fit it to counts, adjust counts by it, save it, load it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import anndata
import h5py
from numpy.typing import ArrayLike
from scipy import sparse

from unbatch._check import LARGEST_SEED, InputError, check_whole
from unbatch._progress import Progress, Silent, Stopwatch
from unbatch._types import Counts
from unbatch.adjusting import Adjustment
from unbatch.assembly import assemble, measure_overlap
from unbatch.core.adjust import AdjustOptions
from unbatch.diagnosing import diagnose_fit
from unbatch.fitted import BatchFit
from unbatch.io.batches import Batches, label_cells, read_batches
from unbatch.io.common_factors import without_common_factors
from unbatch.io.failures import reading
from unbatch.io.limits import check_sizes
from unbatch.io.memory_source import LABELS, WITHIN, memory_source
from unbatch.io.reduce import Driver
from unbatch.io.sink import write_h5ad
from unbatch.io.source import CountSource, Input, open_counts
from unbatch.io.text_lengths import check_texts
from unbatch.mapping import map_source
from unbatch.methods import DEFAULT_METHOD, METHODS, MethodOptions, check_design, find_method, options_for, own_options
from unbatch.methods.design import check_within, control_mask
from unbatch.stored_fit import as_anndata, read_slots, repeated_names_allowed

_SHOWN = 8


class BatchModel:
    """Gene-by-batch effects: estimate them from counts, take them out of counts, keep them in a file.

    Parameters
    ----------
    method
        The estimator: its name, for its default options (``"matched"`` or ``"concept"``), or its options
        (``unbatch.MatchedOptions(n_dims=30)``).
    min_cells
        Batches with fewer cells take no part: their effect is 1 and their standard error inf. Larger values drop more
        small batches, whose effects would be mostly noise.
    seed
        Start of all random numbers. The same seed gives the same result, whatever the block size.
    reference
        Batch to which effects are relative: its effect is 1 for every gene, and adjusted counts are what it would have
        given. Genes of which it says nothing are left as they are. None for the mean over batches.

    Raises
    ------
    InputError
        If there is no such method or an option is out of range.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.datasets.toy()
    >>> model = ub.BatchModel(seed=1).fit(adata.X, adata.obs["batch"])
    >>> model.result.delta.shape
    (500, 2)
    """

    def __init__(
        self,
        *,
        method: str | MethodOptions = DEFAULT_METHOD,
        min_cells: int = 2,
        seed: int = 0,
        reference: str | None = None,
    ) -> None:
        self.options: MethodOptions = options_for(method) if isinstance(method, str) else method
        find_method(self.options)
        check_whole("min_cells", min_cells, least=1, usual=2)
        check_whole("seed", seed, least=0, most=LARGEST_SEED)
        self.min_cells = min_cells
        self.seed = seed
        self.reference = None if reference is None else str(reference)
        self._result: BatchFit | None = None
        self._inputs: tuple[Path, ...] = ()

    @property
    def result(self) -> BatchFit:
        """Effects, uncertainty and evidence of the fit.

        Raises
        ------
        InputError
            If the model has not been fitted.
        """
        if self._result is None:
            raise InputError("the model has not been fitted: call fit(counts, batch) or fit_source(source, batches)")
        return self._result

    def fit(
        self,
        counts: ArrayLike | sparse.sparray | sparse.spmatrix,
        batch: Sequence[Any],
        *,
        within: Sequence[Any] | None = None,
        control_genes: Sequence[int] | None = None,
    ) -> Self:
        """Estimate the effects from a matrix in memory.

        Parameters
        ----------
        counts
            Counts, (n_cells, n_genes), dense or sparse. Genes are named by their position.
        batch
            Label of each cell, (n_cells,).
        within
            Condition of each cell, (n_cells,): cells are matched inside its levels only. None for no such limit.
        control_genes
            Positions of genes known to carry only technical variation, which is taken out of the space where cells are
            matched. None for no such genes.

        Returns
        -------
        BatchModel
            The model itself; see `result`.

        Raises
        ------
        InputError
            If shapes disagree, labels are missing, there are fewer than two batches, or values are not counts.
        """
        source = memory_source(counts, batch, within=within)
        return self.fit_source(
            source,
            read_batches(source, LABELS, min_cells=self.min_cells),
            within=None if within is None else label_cells(source, WITHIN),
            control_genes=None if control_genes is None else [str(gene) for gene in control_genes],
        )

    def fit_source(
        self,
        source: CountSource,
        batches: Batches,
        *,
        within: Batches | None = None,
        control_genes: Sequence[str] | None = None,
        effects_only: bool = False,
        state_specific: bool = False,
        layer: str | None = None,
        progress: Progress | None = None,
        driver: Driver | None = None,
    ) -> Self:
        """Estimate the effects from counts that are read block by block, as often as needed.

        Parameters
        ----------
        source
            Counts, (n_cells, n_genes), from `unbatch.io.source.open_counts`.
        batches
            Batch of each cell, from `unbatch.io.batches.read_batches` (whose `min_cells` counts here).
        within
            Condition of each cell, from `unbatch.io.batches.label_cells`: cells are matched inside its levels only, so
            that the biology of the condition is never taken for an effect of the batch. None for no such limit.
        control_genes
            Names of genes known to carry only technical variation, which is taken out of the space where cells are
            matched.
        effects_only
            Read the counts once only: the cells get no coordinates, no sample and no overlap, and of more cells than
            the sketch holds, the effects are fitted to the sketch alone and less sharp. Only some methods can.
        state_specific
            Find by how much effects differ from state to state, too, so that `adjust` can take that out. It takes sums
            of genes x states x batches, and one byte for each of these in the result. Only some methods can.
        layer
            The layer that `source` reads, kept with the result so that `adjust` finds the same counts.
        progress
            Told of each stage; silence by default.
        driver
            Who reads the counts: None for this process, ``unbatch.io.cluster.DaskDriver(client)`` for the workers of a
            Dask cluster. The result is the same to the bit.

        Returns
        -------
        BatchModel
            The model itself; see `result`.

        Raises
        ------
        InputError
            If values are not counts, no gene is measured in all batches, the reference is no batch or too small, no
            control gene is known, the method knows no `within`, `control_genes`, `effects_only` or `state_specific`, or
            the latter two are asked for together.

        Warns
        -----
        InputWarning
            If batches and the condition are confounded so that some batches cannot be compared, some control genes are
            unknown, a batch has no count of many genes, its counts were multiplied (they are divided again) or
            seem to be normalised, or cells have the very counts of others: those of one batch are counted once, those
            of several batches in none that they are less than half of.
        """
        method = find_method(self.options)
        self._check_reference(batches)
        given = {
            "match_within": within,
            "control_genes": control_genes,
            "effects_only": effects_only or None,
            "state_specific": state_specific or None,
        }
        if effects_only and state_specific:
            raise InputError(
                "effects_only gives the cells no state, by which effects of states would be taken out: leave out "
                "effects_only or state_specific"
            )
        check_design(method, asked=[name for name, value in given.items() if value is not None])
        design: dict[str, Any] = {}
        if within is not None:
            check_within(batches, within)
            design["within"] = within.codes
        if control_genes is not None:
            design["control_genes"] = control_mask(source, control_genes)
        if effects_only:
            design["effects_only"] = True
        if state_specific:
            design["state_specific"] = True
        controls = source.var.index[design["control_genes"]] if control_genes is not None else ()
        watch = Stopwatch(progress or Silent())
        source = without_common_factors(source, batches, progress=watch, driver=driver)
        found = method.fit(source, batches, self.options, seed=self.seed, progress=watch, driver=driver, **design)
        with watch.stage("measuring overlap"):
            support = measure_overlap(found, batches)
        fit = assemble(
            found,
            source,
            batches=batches,
            options=self.options,
            seed=self.seed,
            layer=layer,
            support=support,
            timings=watch.seconds,
            reference=self.reference,
            match_within=within.key if within is not None else (),
            control_genes=tuple(str(gene) for gene in controls),
            level_names=within.levels if within is not None else (),
        )
        if found.checked is not None:
            with watch.stage("judging the fit"):
                level = None if within is None else within.codes
                judged = diagnose_fit(fit, found.checked, batch=batches.codes, level=level)
            fit = replace(fit, diagnostics=judged, timings=watch.seconds)
        self._result = fit
        self._inputs = tuple(path.absolute() for path in source.paths)
        return self

    def _check_reference(self, batches: Batches) -> None:
        if self.reference is None:
            return
        if self.reference not in batches.levels:
            raise InputError(f"the reference {self.reference!r} is no batch: choose {_choices(batches.levels)}")
        if self.reference in batches.too_small:
            usable = [level for level in batches.levels if level not in batches.too_small]
            raise InputError(
                f"the reference, batch {self.reference!r}, has fewer than {batches.min_cells} cells and takes no part: "
                f"choose {_choices(usable)}, or lower min_cells"
            )

    def adjust(
        self,
        counts: ArrayLike | sparse.sparray | sparse.spmatrix,
        batch: Sequence[Any],
        *,
        options: AdjustOptions | None = None,
    ) -> Counts:
        r"""Take the effects out of counts, ``Y_gj / delta_gk(j)``.

        Parameters
        ----------
        counts
            Counts, (n_cells, n_genes), with the genes of the fit in their order; the cells may be others.
        batch
            Label of each cell, (n_cells,), among the batches of the fit.
        options
            How effects are taken out; None divides. Not ``state_specific``, for the rows of a matrix have no names by
            which the states of cells could be found.

        Returns
        -------
        csr_array of float32, or int32 if thinned
            Adjusted counts, (n_cells, n_genes): never negative, zeros stay zero.

        Raises
        ------
        InputError
            If shapes disagree, a batch was not part of the fit, values are not counts, or effects of states are asked
            for.

        Warns
        -----
        InputWarning
            If cells are of a batch of which no effect is known: their counts are left as they are.
        """
        fit = self.result
        if options is not None and options.state_specific:
            raise InputError(
                "rows of a matrix have no names by which the states of their cells could be found in the fit: use "
                "unbatch.pp.adjust_counts(adata, state_specific=True) or `unbatch adjust --state-specific`"
            )
        source = memory_source(counts, batch, genes=fit.var.index)
        adjustment = Adjustment(source, fit, options=options, labels=batch)
        return sparse.vstack([block.counts for block in adjustment.blocks()], format="csr")

    def map(
        self,
        new: Input,
        *,
        batch_key: str | Sequence[str] | None = None,
        layer: str | None = None,
        progress: Progress | None = None,
        driver: Driver | None = None,
    ) -> Self:
        r"""Put new cells in their place beside those of the fit, which does not change.

        Cells of a batch that the fit knows are placed by its effects: coordinates, state and overlap are what they
        would have been in the fit. A new batch gets effects of its own: its pseudobulks are linked to the states of the
        fit, its cells placed with the linked effects divided out, and effects fitted to its sums by state, with the
        rates mu of the fit,

        .. math:: Y_{gs} \sim \mathrm{quasiPoisson}(\mu_{gs} E_s e^a \delta_g, \phi_g), \qquad
                  \log\delta_g \sim \mathcal N(m_g, w_g^2),

        with the mean m that the batches of the fit tell of a batch like them and a width w for each effect, in rounds
        until they settle. Each new batch is mapped on its own: which others come along changes nothing.

        Genes that the new cells lack count as not measured, those that the fit lacks get no effect.

        Parameters
        ----------
        new
            Raw counts: an AnnData, a path, or several of them, as in `unbatch.io.source.open_counts`. All cells are
            read once, and of each new batch as many cells as the sketch of the fit may hold once more.
        batch_key
            Column of obs that names the batch of each cell, or several; None for the columns of the fit, or if each
            file was a batch then, or files have no columns at all, the files' names.
        layer
            Where the raw counts are: None for where the fit found them, or the one matrix of a 10x file.
        progress
            Told of each stage; silence by default.
        driver
            Who reads the counts, as in `fit_source`.

        Returns
        -------
        BatchModel
            A model whose `result` holds the new cells in the slots of a fit, with effects of their batches relative to
            what those of the fit are relative to. It can be saved, and adjusts counts; `BatchFit.mapped_onto` tells
            where it comes from. Nothing can be mapped onto it.

        Raises
        ------
        InputError
            If the fit keeps no states (an older version or another method), no gene is known to it, labels are missing,
            or values are not counts.

        Warns
        -----
        InputWarning
            For genes that the fit does not know or the new cells lack; for new batches that are too small or share no
            cell state with the fit, whose effect is 1 and its standard error inf, or whose counts were multiplied (they
            are divided again) or seem to be normalised; and for cells with the very counts of others, which are counted
            once in a new batch no larger than the sketch.

        Examples
        --------
        >>> import unbatch as ub
        >>> adata = ub.datasets.toy()
        >>> adata.obs_names = [f"cell{number}" for number in range(adata.n_obs)]
        >>> model = ub.BatchModel()
        >>> _ = model.fit(adata.X, adata.obs["batch"])
        >>> new = ub.simulate(n_cells=100, seed=3)
        >>> new.obs["batch"] = "another"
        >>> new.var_names = model.result.var.index
        >>> model.map(new, batch_key="batch").result.log_delta.shape
        (500, 1)
        """
        fit = self.result
        source = open_counts(new, layer=layer, usual=fit.layer)
        found = map_source(
            source, fit, batch_key=batch_key, layer=layer or fit.layer, progress=progress or Silent(), driver=driver
        )
        return self._holding(found, self.options, inputs=source.paths)

    def save(self, path: str | Path) -> None:
        """Write the model to an .h5ad file, at once or not at all.

        The file holds obs and var of the input and the slots that `unbatch.tl.batch_effects` fills, but no X.

        Parameters
        ----------
        path
            Where to write it; a file that is there is replaced.

        Raises
        ------
        InputError
            If the model has not been fitted, or the file is one that it was fitted to.
        """
        write_h5ad(Path(path), as_anndata(self.result), inputs=self._inputs)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` or ``unbatch fit`` wrote.

        Parameters
        ----------
        path
            The .h5ad file; one that holds counts beside the slots of `unbatch.tl.batch_effects` is a model, too.

        Raises
        ------
        InputError
            If the file is missing, damaged, not written by unbatch, or written by a newer one.
        """
        where = str(path)
        if Path(path).is_dir():
            raise InputError(f"{where} is a folder: a model is one .h5ad file, as `unbatch fit` writes it")
        if not Path(path).is_file():
            raise InputError(f"there is no file {where}: give the file that `unbatch fit` wrote")
        with reading(where), repeated_names_allowed():
            with h5py.File(path, "r") as file:
                check_sizes(file, where)
                check_texts(file, where)
            fit = read_slots(anndata.read_h5ad(path), where=where)
        known = {method.name: method for method in METHODS}
        if fit.method not in known:
            raise InputError(f"{where} was fitted by method {fit.method!r}, which this version lacks: update unbatch")
        with reading(where):
            return cls._holding(fit, options_for(fit.method, own_options(fit.parameters)))

    @classmethod
    def _holding(cls, fit: BatchFit, options: MethodOptions, *, inputs: Sequence[Path] = ()) -> Self:
        model = cls(
            method=options,
            min_cells=int(fit.parameters["min_cells"]),
            seed=int(fit.parameters["seed"]),
            reference=fit.reference,
        )
        model._result = fit
        model._inputs = tuple(path.absolute() for path in inputs)
        return model


def _choices(levels: Sequence[str]) -> str:
    return ", ".join(repr(level) for level in levels[:_SHOWN]) + (", ..." if len(levels) > _SHOWN else "")
