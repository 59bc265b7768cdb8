"""Which AnnData results are put into: the one that was given, or a copy."""

from anndata import AnnData

from unbatch._check import InputError


def results_in(adata: AnnData, *, copy: bool = False) -> AnnData:
    """Give the AnnData that results are put into: this one, or a copy of it.

    Raises
    ------
    InputError
        If it would have to be copied, as a view is at the first change, but its counts are in a file.
    """
    if adata.isbacked and (copy or adata.is_view):
        what = "copy=True was given for a backed AnnData" if copy else "this AnnData is a view of a backed one"
        raise InputError(
            f"{what}, whose counts are in a file: results cannot be put into a copy of it. Read it into memory first "
            "(adata.to_memory())"
        )
    return adata.copy() if copy else adata
