"""Every figure looks as it was when somebody last looked at it; ``make pictures`` draws the stored pictures anew."""

import gallery
import numpy as np
import pytest
from PIL import Image

TOLERANCE = 1.0
"""Root mean square difference of two pictures, of 255: a few dots that lie one pixel aside."""


def difference(one, other):
    """Root mean square over pixels and colours; infinite if the size differs."""
    if one.shape != other.shape:
        return float("inf")
    return float(np.sqrt(np.mean((one.astype(float) - other.astype(float)) ** 2)))


def stored(picture):
    return np.asarray(Image.open(gallery.BASELINE / f"{picture}.png").convert("RGB"))


def parts_of(figure):
    """What a reader would miss: the largest part of the data, and the last of the labels."""
    data, texts = [], []
    for ax in figure.axes:
        if ax.get_label() != "<colorbar>":
            data += [*ax.images, *ax.lines, *ax.collections]
        texts += [part for part in (ax.xaxis.label, ax.yaxis.label, ax.title) if part.get_text()]
    return [max(data, key=_extent), *texts[-1:]]


def _extent(part):
    if hasattr(part, "get_sizes"):
        return len(part.get_offsets())
    return len(part.get_paths()) if hasattr(part, "get_paths") else float("inf")


@pytest.mark.parametrize("picture", gallery.PICTURES)
def test_a_figure_looks_as_it_did_and_a_lost_part_is_noticed(picture, tmp_path):
    figure, drawn = gallery.draw(picture)
    expected = stored(picture)
    Image.fromarray(drawn).save(tmp_path / f"{picture}.png")
    assert difference(drawn, expected) <= TOLERANCE, f"compare {tmp_path / picture}.png with tests/pl/baseline"
    figure.set_layout_engine("none")
    for part in parts_of(figure):
        part.set_visible(False)
        assert difference(gallery.pixels(figure), expected) > TOLERANCE, part
        part.set_visible(True)


def test_every_stored_picture_has_a_figure():
    assert {path.stem for path in gallery.BASELINE.glob("*.png")} == set(gallery.PICTURES)
