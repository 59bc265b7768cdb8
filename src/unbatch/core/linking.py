"""First effects: pseudobulks of each batch, the mutual neighbours among them, and the contrasts that they agree on."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from unbatch._types import BoolArray, CodeArray, FloatArray, IntArray
from unbatch.core.kernels.nearest import nearest_of_groups
from unbatch.core.parallel import in_ranges

_CALIPERS = (np.inf, 1.5, 1.15)
"""How far apart two linked pseudobulks may be, in units of the distance to their `_OWN_RANK`-th own neighbour: first
anything goes, since the batch effect itself keeps true counterparts apart."""
_BEYOND = 1
"""Most links that a batch has at once, within the narrowest caliper, if effects move it beyond its states."""
_CLEARLY_MORE, _FEW, _MORE_TOGETHER = 1.5, 3, 1.2
"""So many times the links of such a batch, so many more, and so many times those of all such batches decide for a start
from the means of batches."""
_OWN_RANK = 3
_RIDGE = 1.0
_PRIOR_COUNTS = 20.0
_TINY = 1e-300
_PSEUDOBULKS = 64
"""Pseudobulks that are compared with all in one go of a thread."""


@dataclass(frozen=True, eq=False)
class Links:
    """Pairs of pseudobulks of two batches that are each other's nearest, and the effects that follow from them.

    Attributes
    ----------
    pairs
        (n_pairs, 2) numbers of the pseudobulks.
    log_delta
        (n_genes, n_batches) first estimate of the effects.
    near
        (n_batches,) number of pairs of each batch that are within the narrowest caliper.
    at_once
        (n_batches,) number of those that were so before effects were found.
    """

    pairs: IntArray
    log_delta: FloatArray
    near: IntArray
    at_once: IntArray


def link_pseudobulks(
    sums: FloatArray, size: FloatArray, *, batch: CodeArray, basis: FloatArray, level: CodeArray | None = None
) -> Links:
    r"""Match pseudobulks across batches and estimate first effects from the matches.

    A pseudobulk sums some tens of cells of one batch and one state: the noise of single cells averages out, so that
    what is left between batches is the difference of states and the batch effect. Batch effects that are spread over
    all genes are nearly at right angles to the differences between states, so that mutual nearest neighbours in the
    space of those differences are counterparts even before anything is corrected. From the pairs (p, q), with log
    rates L and weights w, the effects solve

    .. math:: \min_b \sum_{pq} w_{pq} \| (L_p - L_q) - (b_{k(p)} - b_{k(q)}) \|^2 + \| b \|^2 .

    Then pairs are sought again with these effects removed, and those farther apart than a caliper are dropped. A batch
    that the narrowest caliper leaves without any keeps those within the caliper before.

    Effects so strong that they move a batch farther than its states lie apart leave hardly a mutual neighbour: all of a
    batch are nearest to the same few. So if a batch has one link at most that is within the narrowest caliper at once,
    the search is made again from the differences between the means of batches, and taken if it gives such a batch
    clearly more links, and all such batches more together. Of batches that have some at once, those means differ by
    composition as much: types that are many, one in each batch, would be taken for the same.

    Parameters
    ----------
    sums
        Counts of each pseudobulk, (n_pseudobulks, n_genes).
    size
        Summed size factors of each pseudobulk, (n_pseudobulks,).
    batch
        Batch of each pseudobulk, (n_pseudobulks,).
    basis
        Directions in which cells of one batch differ, (n_genes, n_dims).
    level
        Only pseudobulks of the same level are linked, (n_pseudobulks,); all by default.

    Returns
    -------
    Links
    """
    level = np.zeros_like(batch) if level is None else level
    n_batches = int(batch.max()) + 1
    log_rate = _log_rates(sums, size)
    by_batch = np.zeros((n_batches, sums.shape[1]))
    np.add.at(by_batch, batch, sums)
    trust = by_batch / (by_batch + _PRIOR_COUNTS)
    nothing = np.zeros((n_batches, sums.shape[1]))
    plain = _narrowed(log_rate, size, nothing, trust=trust, batch=batch, level=level, basis=basis)
    if not _beyond(plain).any():
        return plain
    means = _batch_means(log_rate, size, batch) * trust
    centred = _narrowed(log_rate, size, means, trust=trust, batch=batch, level=level, basis=basis)
    return centred if _rescues(centred, plain) else plain


def _log_rates(sums: FloatArray, size: FloatArray) -> FloatArray:
    """Log counts per size factor, with a count more at the mean rate of the gene, (n_pseudobulks, n_genes)."""
    mean = sums.sum(axis=0) / size.sum()
    return np.asarray(np.log((sums + 1) / (size[:, None] + 1 / np.maximum(mean, 1 / size.sum()))))


def _beyond(plain: Links) -> BoolArray:
    """Tell which batches may be moved beyond their states, given links from no effects, (n_batches,)."""
    return np.asarray(plain.at_once <= _BEYOND)


def _rescues(centred: Links, plain: Links) -> bool:
    """Tell whether such a batch has clearly more links from the means of batches, and they all have more together."""
    beyond = _beyond(plain)
    more = (centred.near > _CLEARLY_MORE * plain.near) & (centred.near >= plain.near + _FEW)
    together = centred.near[beyond].sum() > _MORE_TOGETHER * plain.near[beyond].sum()
    return bool((more & beyond).any() and together) and int(centred.near.sum()) >= int(plain.near.sum())


def _batch_means(log_rate: FloatArray, size: FloatArray, batch: CodeArray) -> FloatArray:
    """Mean log rate of each batch, less the mean over batches, (n_batches, n_genes)."""
    total = np.bincount(batch, size)
    means = np.zeros((len(total), log_rate.shape[1]))
    np.add.at(means, batch, log_rate * size[:, None])
    means[total > 0] /= total[total > 0, None]
    return np.asarray(means - means[total > 0].mean(axis=0))


def _narrowed(
    log_rate: FloatArray,
    size: FloatArray,
    effect: FloatArray,
    *,
    trust: FloatArray,
    batch: CodeArray,
    level: CodeArray,
    basis: FloatArray,
) -> Links:
    """Link pseudobulks with some effects removed, and again with those that follow, by ever narrower calipers."""
    n_batches, at_once = len(effect), np.zeros(len(effect), dtype=np.int64)
    pairs, found, within = np.zeros((0, 2), dtype=np.int64), np.zeros((0, 2), dtype=np.int64), False
    for number, caliper in enumerate(_CALIPERS):
        where = (log_rate - effect[batch]) @ basis
        found, far = _mutual(where, batch, level)
        if number == 0:
            at_once = _of_batches(found[far <= _CALIPERS[-1]], batch, n_batches)
        found = found[far <= caliper]
        alone = ~np.isin(np.arange(n_batches), batch[found]) if within else np.zeros(n_batches, dtype=bool)
        pairs = np.concatenate([found, pairs[alone[batch[pairs]].any(axis=1)]])
        within = bool(np.isfinite(caliper))
        effect = _contrasts(log_rate, size, batch, pairs) * trust
    log_delta = effect - np.median(effect, axis=1, keepdims=True)
    return Links(pairs, log_delta.T.copy(), _of_batches(found, batch, n_batches), at_once)


def _of_batches(pairs: IntArray, batch: CodeArray, n_batches: int) -> IntArray:
    """Count the pairs of each batch, (n_batches,)."""
    return np.bincount(batch[pairs].ravel(), minlength=n_batches)


def _mutual(where: FloatArray, batch: CodeArray, level: CodeArray) -> tuple[IntArray, FloatArray]:
    """Find the pairs of pseudobulks of different batches that are each other's nearest.

    Along with them, (n_pairs,), comes how far apart they are, in units of the longer of both ways to the third
    neighbour of their own; 0 where a batch has no third.
    """
    reach = _own_reach(where, batch)
    names, group = np.unique(np.column_stack([batch, level]), axis=0, return_inverse=True)
    order = np.argsort(group, kind="stable")
    group, reach, points = group[order], reach[order], np.ascontiguousarray(where[order])
    bounds = np.searchsorted(group, np.arange(len(names) + 1))
    nearest = np.empty((len(order), len(names)), dtype=np.int64)
    squared, references = np.empty(nearest.shape), np.ascontiguousarray(points.T)

    def some(first: int, stop: int) -> None:
        mine = slice(first, stop)
        nearest_of_groups(points[mine], references, bounds, np.empty(len(points)), nearest[mine], squared[mine])

    in_ranges(some, len(points), step=_PSEUDOBULKS)
    later = (names[:, :1] < names[:, 0]) & (names[:, 1:] == names[:, 1])
    own, other = np.nonzero(later[group])
    theirs = nearest[own, other]
    keep = nearest[theirs, group[own]] == own
    own, other, theirs = own[keep], other[keep], theirs[keep]
    by_group = np.lexsort((own, other, group[own]))
    own, other, theirs = own[by_group], other[by_group], theirs[by_group]
    far = np.sqrt(squared[own, other]) / np.maximum(np.maximum(reach[own], reach[theirs]), _TINY)
    return np.column_stack([order[own], order[theirs]]), far


def _own_reach(where: FloatArray, batch: CodeArray) -> FloatArray:
    """Distance from each pseudobulk to its third nearest of the same batch; infinite in a batch with too few."""
    reach = np.full(len(batch), np.inf)
    for k in np.unique(batch):
        mine = np.flatnonzero(batch == k)
        if len(mine) > _OWN_RANK:
            reach[mine] = np.sort(cdist(where[mine], where[mine]), axis=1)[:, _OWN_RANK]
    return reach


def _contrasts(log_rate: FloatArray, size: FloatArray, batch: CodeArray, pairs: IntArray) -> FloatArray:
    """Solve for the effects of all genes at once: the weights of the pairs are the same for each gene."""
    n_batches = int(batch.max()) + 1
    p, q = pairs.T
    weight = 1 / (1 / size[p] + 1 / size[q])
    weight = weight / max(float(weight.mean()), 1e-300) if len(weight) else weight
    normal, of_rates = _RIDGE * np.eye(n_batches), np.zeros((n_batches, len(batch)))
    for ours, theirs in ((p, q), (q, p)):
        np.add.at(normal, (batch[ours], batch[ours]), weight)
        np.add.at(normal, (batch[ours], batch[theirs]), -weight)
        np.add.at(of_rates, (batch[ours], ours), weight)
        np.add.at(of_rates, (batch[ours], theirs), -weight)
    return np.asarray(np.linalg.solve(normal, of_rates @ log_rate), dtype=np.float64)
