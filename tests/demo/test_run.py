"""The demonstration as users run it, with maps of few iterations: the proof that every part works with every other."""

import anndata
import numpy as np
import pytest
from PIL import Image

from unbatch import BatchModel, slots
from unbatch._check import InputError
from unbatch.demo import run_demo
from unbatch.demo.run import DPI
from unbatch.pl import _layout

FIGURES = [
    "toy-1-projection.png",
    "toy-2-recovery.png",
    "toy-3-effect-against-mean.png",
    "toy-4-batch-means.png",
    "toy-5-tsne.png",
    "toy-6-counts.png",
    "cell-lines-1-tsne.png",
    "cell-lines-2-strongest-effects.png",
    "cell-lines-3-overlap-and-balance.png",
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "made" / "as needed"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("keep")
    (folder / "toy.h5ad").write_text("left by an earlier run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_layout, "ITERATIONS", (20, 20))
        return folder, run_demo(folder, show=False)


def test_the_folder_holds_every_figure_and_fit_and_what_else_was_there(demo):
    folder, result = demo
    names = [path.name for path in result.files]
    assert [name for name in names if name.endswith(".png")] == FIGURES
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, "mine.txt"])
    assert (folder / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off_at_the_edge_of_a_figure(demo, name):
    pixels = np.asarray(Image.open(demo[0] / name).convert("L"))
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (edge == 255).all()
    assert pixels.shape[1] >= 4 * DPI
    assert (pixels < 255).mean() > 0.02


def test_planted_effects_are_recovered(demo):
    found = demo[1].toy
    assert found.fitted.n_genes == 500
    assert found.fitted.correlation > 0.99
    assert found.fitted.rmse < 0.1
    assert (found.other_method, found.other.n_genes) == ("matched", 500)
    assert found.other.correlation > 0.99
    assert found.other.rmse < 1.2 * found.naive.rmse
    assert found.naive.correlation > 0.99


def test_adjusting_brings_batches_nearer_to_mixed(demo):
    for found in (demo[1].toy.mixing, demo[1].cell_lines):
        assert found.before > 0.95
        assert found.expected < found.after < found.before - 0.1
    assert demo[1].toy.mixing.after == pytest.approx(demo[1].toy.planted.after, abs=0.02)


@pytest.mark.parametrize(("name", "n_batches"), [("toy.h5ad", 2), ("cell-lines.h5ad", 3)])
def test_the_fits_are_models_that_can_be_loaded(demo, name, n_batches):
    model = BatchModel.load(demo[0] / name)
    assert len(model.result.batches) == n_batches
    assert model.result.method == {"toy.h5ad": "concept", "cell-lines.h5ad": "matched"}[name]
    assert slots.EFFECTS in anndata.read_h5ad(demo[0] / name).varm


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="is a file"):
        run_demo(tmp_path / "taken")
