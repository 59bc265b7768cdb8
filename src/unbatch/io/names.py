"""Names of cells and genes: text, and for genes unique."""

import pandas as pd

from unbatch._check import InputError, warn

_FEW = 5


def text_of(name: object) -> str:
    """Give a name as text. Bytes, as HDF5 stores names of a fixed length, are UTF-8."""
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)


def storable(text: str) -> str:
    """Escape what no file can store: the bytes of a path that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Give the same table with its index and columns of bytes as text; the table that came in is not changed."""
    out = frame.copy(deep=False)
    out.index = pd.Index([text_of(name) for name in frame.index], dtype=object, name=frame.index.name)
    # by position, as two columns may bear one name
    for place, (_, column) in enumerate(frame.items()):
        if isinstance(column.dtype, pd.CategoricalDtype):
            if _is_bytes(column.cat.categories):
                out.isetitem(place, column.cat.rename_categories(text_of).array)
        elif _is_bytes(column):
            out.isetitem(place, column.map(text_of, na_action="ignore").array)
    return out


def _is_bytes(values: pd.Series | pd.Index) -> bool:
    return bool(values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) == "bytes")


def _listed(names: pd.Index) -> str:
    shown = ", ".join(repr(name) for name in names[:_FEW])
    return shown + (", ..." if len(names) > _FEW else "")


def check_gene_names(var: pd.DataFrame, where: str) -> None:
    """Refuse gene names that occur more than once: an effect per gene needs a gene per name.

    Raises
    ------
    InputError
        Says how many, which, and how to make them unique.
    """
    repeated = var.index[var.index.duplicated()].unique()
    if not len(repeated):
        return
    unique = [repr(column) for column in var.columns if var[column].notna().all() and var[column].is_unique]
    column_cure = f", or use a column that is unique ({', '.join(unique[:_FEW])}) as names" if unique else ""
    raise InputError(
        f"{where} has {len(repeated)} gene names that occur more than once ({_listed(repeated)}): make them unique, "
        f"in Python with adata.var_names_make_unique(){column_cure}",
    )


def check_cell_names(obs: pd.DataFrame, where: str) -> None:
    """Warn of cell names that occur more than once. They are used: cells are told apart by position."""
    # an index would keep the table of all names that it makes for this, 35 bytes a cell
    repeated = obs.index[pd.Series(obs.index).duplicated().to_numpy()].unique()
    if len(repeated):
        warn(
            f"{where} has {len(repeated)} cell names that occur more than once ({_listed(repeated)}): they are kept, "
            "and cells are told apart by position; adata.obs_names_make_unique() would tell them apart by name"
        )
