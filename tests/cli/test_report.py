"""``unbatch report`` and ``unbatch fit --report``: one page, or one line that says why not, and exit code 2."""

import shlex

import anndata as ad
import pytest

import unbatch as ub


def refused(done, *words):
    assert done.exit_code == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in errors[0]


def test_a_page_is_written_as_from_python(run, model, tmp_path):
    done = run("report", model, "-o", tmp_path / "r.html", "--map-cells", "50", "--color", "note")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith(f"Wrote {tmp_path / 'r.html'} (")
    assert done.stdout.endswith(" MB; open it in a browser)\n")
    ub.write_report(model, tmp_path / "python.html", n_map_cells=50, color="note")
    assert (tmp_path / "r.html").read_bytes() == (tmp_path / "python.html").read_bytes()


def test_fit_writes_the_page_of_its_own_file(run, h5ad, tmp_path):
    output, page = tmp_path / "fit it.h5ad", tmp_path / "r.html"
    done = run("fit", h5ad, "-b", "batch", "--output", output, "--report", page)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines.index(f"Wrote {page} (open it in a browser)") > lines.index(f"Wrote {output}")
    command = shlex.join(["unbatch", "fit", str(h5ad), "-b", "batch", "--output", str(output), "--report", str(page)])
    assert ad.read_h5ad(output).uns["unbatch"]["command"] == command
    ub.write_report(output, tmp_path / "again.html")
    assert page.read_bytes() == (tmp_path / "again.html").read_bytes()
    assert command.replace("'", "&#39;") in page.read_text(encoding="utf-8")


def test_what_is_mapped_keeps_its_command_too(run, tmp_path):
    cells = ub.simulate(n_cells=600, n_genes=150, n_batches=3, n_types=3, median_depth=1200, seed=1)
    cells[cells.obs["batch"] != "batch_3"].copy().write_h5ad(tmp_path / "old.h5ad")
    cells[cells.obs["batch"] != "batch_1"].copy().write_h5ad(tmp_path / "new.h5ad")
    assert run("fit", tmp_path / "old.h5ad", "-b", "batch", "-o", tmp_path / "fit.h5ad").exit_code == 0
    done = run("map", tmp_path / "new.h5ad", "-m", tmp_path / "fit.h5ad", "-o", tmp_path / "mapped.h5ad")
    assert done.exit_code == 0, done.stderr
    assert run("report", tmp_path / "mapped.h5ad", "-o", tmp_path / "r.html", "--map-cells", "0").exit_code == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert f"unbatch map {tmp_path / 'new.h5ad'} -m" in page
    assert "These cells were mapped onto a fit of" in page


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "case",
    [
        (["gone.h5ad", "-o", "r.html"], ["there is no file gone.h5ad"]),
        (["{h5ad}", "-o", "r.html"], ["holds no batch effects"]),
        (["{model}", "-o", "r.pdf"], ["--output r.pdf must end in .html or .htm"]),
        (["{model}", "-o", "no/r.html"], ["no folder no"]),
        (["{model}", "-o", "r.html", "--color", "nonsense"], ["no obs column 'nonsense'", "'note'"]),
        (["{model}", "-o", "r.html", "--map-cells", "-1"], ["n_map_cells is -1"]),
    ],
)
def test_what_cannot_be_done_is_one_line(run, model, h5ad, here, case):
    arguments, words = case
    refused(run("report", *(part.format(model=model, h5ad=h5ad) for part in arguments)), *words)
    assert list(here.iterdir()) == []


def test_fit_refuses_a_page_that_it_could_not_write_before_it_fits(run, h5ad, tmp_path):
    refused(run("fit", h5ad, "-b", "batch", "-o", tmp_path / "fit.h5ad", "--report", tmp_path / "r.txt"), "--report")
    assert list(tmp_path.iterdir()) == []


def test_a_page_is_never_written_over_the_fit(run, model, tmp_path):
    link = tmp_path / "r.html"
    link.symlink_to(model)
    before = model.read_bytes()
    refused(run("report", model, "-o", link), "is also an input")
    assert model.read_bytes() == before
