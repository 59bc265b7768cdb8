"""Matrices whose parts do not fit each other."""

import h5py
import numpy as np

from .ills import Ill, edited, replaced, spoilt

LOST = ("row pointers (indptr)", "write it again")
UNREADABLE = ("X of", "damaged, cut short or not what its name says", "write it again")
NO_SIZE = ("X of", "does not say how many cells and genes", "write it again")


def _stated(**attributes):
    return edited(lambda file: file["X"].attrs.update(attributes))


def _at(place, value, array="indptr"):
    return edited(lambda file: file["X"][array].__setitem__(place, value))


def _instead(value):
    def change(file):
        del file["X"]
        if callable(value):
            value(file)
        else:
            file["X"] = value

    return edited(change)


def _by_column(place, value):
    """Stored by column, with a wrong row: what scipy does with that is to write where it points."""

    def make(folder):
        def turn(adata):
            adata.X = adata.X.tocsc()

        path = spoilt(turn)(folder)
        with h5py.File(path, "a") as file:
            file["X/indices"][place] = value
        return path

    return make


def _unnamed(file):
    del file["obs"][file["obs"].attrs["_index"]]


def _fewer_names(table):
    def change(file):
        name = f"{table}/{file[table].attrs['_index']}"
        attributes, values = dict(file[name].attrs), file[name][:-3]
        del file[name]
        file.create_dataset(name, data=values)
        file[name].attrs.update(attributes)

    return edited(change)


def _null(name):
    def change(file):
        del file[name]
        file[name] = h5py.Empty("f4")

    return edited(change)


def _same_names(adata):
    adata.var_names = ["A", "A", *adata.var_names[2:]]


SHAPES = {
    "no-cells": Ill(spoilt(lambda adata: adata[:0].copy()), ("0 cells and 15 genes", "nothing to read")),
    "no-genes": Ill(spoilt(lambda adata: adata[:, :0].copy()), ("60 cells and 0 genes", "nothing to read")),
    "one-cell": Ill(spoilt(lambda adata: adata[:1].copy()), ("single batch", "all 1 cells"), ("fit", "inspect")),
    "genes-of-one-name": Ill(spoilt(_same_names), ("1 gene names that occur more than once", "var_names_make_unique")),
    "values-short": Ill(replaced("X/data", lambda values: values[:-5]), ("821 values at 826 positions", "copy it")),
    "values-in-a-table": Ill(replaced("X/data", lambda values: values[:, None]), ("its data is no list", "write")),
    "values-null": Ill(_null("X/data"), ("its data is no list", "write it again")),
    "indices-short": Ill(replaced("X/indices", lambda places: places[:-5]), ("826 values at 821 positions", "copy it")),
    "indices-in-a-table": Ill(replaced("X/indices", lambda places: places[:, None]), ("its indices is no list",)),
    "indices-negative": Ill(_at(3, -1, "indices"), ("indices reach out of the 15 genes", *UNREADABLE)),
    "indices-past-the-end": Ill(_at(3, 15, "indices"), ("indices reach out of the 15 genes", *UNREADABLE)),
    "rows-past-the-end": Ill(_by_column(3, 2**30), ("indices reach out of the 60 cells", *UNREADABLE)),
    "rows-negative": Ill(_by_column(3, -(2**30)), ("indices reach out of the 60 cells", *UNREADABLE)),
    "indices-wrap-around": Ill(
        replaced("X/indices", lambda places: places.astype(np.int64) + 2**32), ("not whole numbers", *UNREADABLE)
    ),
    "indices-fractional": Ill(replaced("X/indices", lambda places: places + 0.5), ("not whole numbers", *UNREADABLE)),
    "indices-text": Ill(replaced("X/indices", lambda places: np.full(len(places), b"3")), ("not whole", *UNREADABLE)),
    "indptr-short": Ill(replaced("X/indptr", lambda places: places[:-5]), ("56 row pointers", "61 are due")),
    "indptr-long": Ill(replaced("X/indptr", lambda places: np.append(places, places[-1])), ("62 row", "61 are due")),
    "indptr-empty": Ill(replaced("X/indptr", lambda places: places[:0]), ("0 row pointers", "61 are due")),
    "indptr-begins-late": Ill(_at(0, 3), ("from 3 to 826 for 826 values", "values are lost", *LOST)),
    "indptr-ends-early": Ill(_at(60, 811), ("from 0 to 811 for 826 values", "values are lost", *LOST)),
    "indptr-ends-late": Ill(_at(60, 2**31 - 1), ("from 0 to 2147483647", *LOST)),
    "indptr-astronomic": Ill(
        replaced("X/indptr", lambda places: np.append(places[:-1].astype(np.int64), 2**62)), ("4611686018427387904",)
    ),
    "indptr-falls": Ill(_at(5, 0), ("row pointers, fall", *UNREADABLE)),
    "indptr-negative": Ill(_at(5, -7), ("row pointers, fall", *UNREADABLE)),
    "indptr-fractional": Ill(replaced("X/indptr", lambda places: places + 0.5), ("from 0.5 to 826.5", *LOST)),
    "indptr-nan": Ill(replaced("X/indptr", lambda places: np.append(places[:-1], np.nan)), LOST),
    "shape-missing": Ill(edited(lambda file: file["X"].attrs.pop("shape")), NO_SIZE),
    "shape-negative": Ill(_stated(shape=[-60, 15]), NO_SIZE),
    "shape-of-three": Ill(_stated(shape=[60, 15, 2]), NO_SIZE),
    "shape-text": Ill(_stated(shape="wide"), NO_SIZE),
    "shape-astronomic": Ill(_stated(shape=[2**60, 15]), ("61 row pointers", "are due")),
    "shape-of-fewer-cells": Ill(_stated(shape=[59, 15]), ("61 row pointers", "60 are due")),
    "shape-of-fewer-genes": Ill(_stated(shape=[60, 14]), ("14 genes but names for 15", "write it again")),
    "dense-of-three-axes": Ill(_instead(np.ones((60, 15, 2))), ("3 dimensions", "store it as a matrix")),
    "dense-of-one-axis": Ill(_instead(np.ones(60)), ("1 dimensions", "store it as a matrix")),
    "one-number": Ill(_instead(3), ("0 dimensions", "store it as a matrix")),
    "a-text": Ill(_instead("counts"), ("0 dimensions", "store it as a matrix")),
    "null": Ill(_instead(h5py.Empty("f4")), ("0 dimensions", "store it as a matrix")),
    "an-empty-group": Ill(_instead(lambda file: file.create_group("X")), ("not a sparse matrix", "CSR, CSC or dense")),
    "a-dangling-link-inside": Ill(_instead(h5py.SoftLink("/gone")), ("in.h5ad", "damaged")),
    "a-link-to-itself-inside": Ill(_instead(h5py.SoftLink("/X")), ("in.h5ad", "damaged")),
    "a-link-out-to-nothing": Ill(_instead(h5py.ExternalLink("gone.h5", "/X")), ("in.h5ad", "is a link")),
    "names-missing": Ill(edited(_unnamed), ("in.h5ad", "damaged")),
    "names-of-cells-short": Ill(_fewer_names("obs"), ("in.h5ad", "damaged")),
    "names-of-genes-short": Ill(_fewer_names("var"), ("15 genes but names for 12", "write it again")),
}
