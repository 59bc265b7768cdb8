"""Run methods in this Python: `python -m integration.embed JOBS.json`, with benchmarks/ on the path.

The file holds a list of jobs: method, data (.h5ad), output (.npy; .h5ad where counts come out, .csv where a table
does) and seed. Each writes its output, and beside it .json with versions and seconds; one that fails writes .error. One
whose data is not there, because the job that makes it failed, is passed over.
"""

import json
import sys
import time
import traceback
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd

_TOLD = ("unbatch", "scanpy", "harmonypy", "scanorama", "scvi-tools", "torch")


def main(path: str) -> None:
    """Run every job of a file."""
    for job in json.loads(Path(path).read_text()):
        output = Path(job["output"])
        if not Path(job["data"]).exists():
            continue
        error = output.with_suffix(".error")
        error.unlink(missing_ok=True)
        try:
            seconds = _run(job, output)
        except Exception:  # noqa: BLE001 - one failure must not lose hours of other results
            error.write_text(traceback.format_exc())
            print(f"{job['method']} failed on {job['data']}: {error}", file=sys.stderr, flush=True)
            continue
        print(
            f"{output.parent.parent.name}/{output.parent.name}: {output.stem}: {seconds:.1f} s",
            file=sys.stderr,
            flush=True,
        )


def _run(job: dict[str, Any], output: Path) -> float:
    module = import_module(f"integration.methods.{job['method']}")
    adata = anndata.read_h5ad(job["data"])
    start = time.perf_counter()
    found = module.embed(adata, seed=job["seed"])
    seconds = time.perf_counter() - start
    output.with_suffix(".json").write_text(json.dumps({"seconds": seconds, "versions": _versions()}))
    part = output.with_name("part-" + output.name)
    if isinstance(found, anndata.AnnData):
        found.write_h5ad(part)
    elif isinstance(found, pd.DataFrame):
        found.to_csv(part, index=False)
    else:
        values = np.asarray(found, dtype=np.float32)
        if values.ndim != 2 or len(values) != adata.n_obs or not np.isfinite(values).all():
            raise ValueError(f"{job['method']} gave {values.shape} for {adata.n_obs} cells, or values not finite")
        np.save(part, values)
    part.replace(output)
    return seconds


def _versions() -> dict[str, str]:
    found = {}
    for package in _TOLD:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main(sys.argv[1])
