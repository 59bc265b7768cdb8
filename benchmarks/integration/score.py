"""Score embeddings in the peers' Python: `python -m integration.score JOBS.json`, with benchmarks/ on the path.

The file holds a list of jobs: data (.h5ad with obs batch, label and scored), embedding (.npy) and output (.json).
"""

import json
import sys
import time
from pathlib import Path

import anndata
import numpy as np

from integration.metrics import score


def main(path: str) -> None:
    """Score every embedding of a file of jobs."""
    for job in json.loads(Path(path).read_text()):
        obs = anndata.read_h5ad(job["data"], backed="r").obs
        rows = obs["scored"].to_numpy()
        start = time.perf_counter()
        label, batch = (obs.loc[rows, key].astype(str).to_numpy() for key in ("label", "batch"))
        found = score(np.load(job["embedding"])[rows], label, batch)
        Path(job["output"]).write_text(json.dumps(found))
        path = Path(job["embedding"])
        print(
            f"{path.parent.name}: {path.stem} scored: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True
        )


if __name__ == "__main__":
    main(sys.argv[1])
