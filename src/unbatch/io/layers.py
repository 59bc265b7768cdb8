"""Which matrix of an AnnData is meant, and which of them look like counts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unbatch._check import InputError

PEEK_VALUES = 10_000
"""So many stored values decide whether a matrix looks like counts."""
_X = "X"


@dataclass(frozen=True)
class Wanted:
    """Which matrix of an input is wanted.

    Attributes
    ----------
    layer
        What was asked for; None if nothing was.
    usual
        What is wanted then, if the input has layers: that of a fit.
    """

    layer: str | None = None
    usual: str | None = None

    @property
    def name(self) -> str | None:
        """The layer of an input that has layers."""
        return self.layer or self.usual


def choose_layer(layer: str | None, layers: Mapping[str, Any], *, has_x: bool, has_raw: bool, where: str) -> str:
    """Give the place of the wanted matrix: "X", "raw/X" or "layers/<name>".

    Parameters
    ----------
    layer
        None or "X" is X, "raw" or "raw.X" is raw.X, anything else the layer of that name. A layer that is called "raw"
        or "raw.X" comes first; so does one called "X", if there is no X.
    layers
        What layers there are.
    has_x, has_raw
        Whether there is an X and a raw.X.
    where
        Name of the input, for the message.

    Raises
    ------
    InputError
        If there is no such matrix: lists those that there are. Or if "X" could be two: a fit keeps that word for X.
    """
    if layer == _X and _X in layers and has_x:
        raise InputError(f"{where} has an X and also a layer called 'X': rename the layer, and give its new name")
    if layer in layers:
        return f"layers/{layer}"
    if layer in (None, _X) and has_x:
        return "X"
    if layer in ("raw", "raw.X") and has_raw:
        return "raw/X"
    choices = [repr(name) for name in layers] + (["'raw'"] if has_raw else []) + (["None (X)"] if has_x else [])
    listed = "layer can be " + ", ".join(choices) if choices else "it holds no matrix at all"
    missing = "X" if layer is None else f"layer {layer!r}"
    raise InputError(f"{where} has no {missing}: {listed}")


def layer_argument(place: str) -> str:
    """Give the value of `layer` that names a place, the reverse of `choose_layer`."""
    return {"X": "X", "raw/X": "raw"}.get(place, place.removeprefix("layers/"))


def look_like_counts(values: Any) -> bool:  # noqa: ANN401
    """Tell whether some values of a matrix are what counts are: finite, whole, none negative, not all zero."""
    sample = np.asarray(values).ravel()
    if sample.dtype.kind not in "biuf" or not sample.size:
        return False
    return bool(
        (sample >= 0).all() and (sample == np.trunc(sample)).all() and np.isfinite(sample).all() and sample.any()
    )


def find_counts(peeks: Mapping[str, Callable[[], Any]]) -> tuple[str, ...]:
    """Give, as values of `layer`, the places whose first values look like counts.

    Parameters
    ----------
    peeks
        From the place of a matrix to a function that gives some of its values.
    """
    return tuple(layer_argument(place) for place, peek in peeks.items() if look_like_counts(peek()))
