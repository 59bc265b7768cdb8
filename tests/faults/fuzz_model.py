"""Read models that were spoilt at random, and use them: ``python tests/faults/fuzz_model.py --runs 10000``.

Bytes of the file are changed, zeroed or cut off, or one of its arrays gets other values, another shape or type, or is
gone. Each is read in a fork of its own and, if it can be, takes its effects out of counts and has new cells mapped onto
it, of a batch that it knows and of one that is new, which lack a gene. It must give answers without NaN or an
InputError; a crash, another error or more than 1 GB of memory is a failure. Where HDF5 itself goes in circles, which
only Ctrl-C ends, it is counted.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import h5py
import numpy as np

import unbatch as ub
from unbatch._check import InputError
from unbatch._memory import peak_bytes
from unbatch.stored_fit import as_anndata, read_slots

MOST_MEMORY = 10**9
_ADDRESSES = 8 * 10**9
_ANSWER, _REFUSED, _ERROR, _MEMORY = range(4)


def spoil_bytes(content, chance):
    """Change some bytes, zero a stretch of them or cut the rest off."""
    spoilt = bytearray(content)
    place = chance.randrange(len(spoilt))
    how = chance.randrange(4)
    if how == 0:
        del spoilt[place:]
    elif how == 1:
        length = chance.randrange(1, 2000)
        spoilt[place : place + length] = bytes(len(spoilt[place : place + length]))
    else:
        # what tells of the structure lies thickest at the front
        reach = len(spoilt) if how == 2 else 4000
        for _ in range(chance.randrange(1, 20)):
            spoilt[chance.randrange(reach)] = chance.randrange(256)
    return bytes(spoilt)


def arrays(path):
    """Give the names of all arrays in a file."""
    found = []
    with h5py.File(path) as file:
        file.visititems(lambda name, element: found.append(name) if isinstance(element, h5py.Dataset) else None)
    return found


def spoil_array(path, name, chance):
    """Give an array other values, another shape or another type, or take it away."""
    rng = np.random.default_rng(chance.getrandbits(32))
    with h5py.File(path, "r+") as file:
        old = file[name]
        shape, attributes = old.shape, dict(old.attrs)
        values = old[()]
        del file[name]
        how = chance.randrange(8)
        if how == 0:
            return
        if how == 1:
            values = np.full(shape, chance.choice([np.nan, np.inf, -1.0, 1e300, 2.0**62, 0.0]))
        elif how == 2:
            values = rng.integers(-(2**40), 2**40, size=shape)
        elif how == 3:
            values = np.zeros(chance.choice([(), (0,), (1,), (7,), (3, 2), (0, 5), (2, 2, 2)]))
        elif how == 4:
            values = np.full(300, "x" if old.dtype.kind == "O" else 1, old.dtype)
        elif how == 5:
            file.create_dataset(name, (10 ** chance.randrange(3, 15),), "f8", chunks=(1000,))
            file[name].attrs.update(attributes)
            return
        elif old.dtype.kind == "O":
            texts = np.append(np.ravel(np.asarray(values, dtype=object)), b"x")
            values = rng.permutation(texts)[: texts.size - 1].reshape(shape)
        else:
            values = some_values(np.asarray(values), how, chance, rng)
        file.create_dataset(name, data=values, dtype=h5py.string_dtype() if values.dtype.kind == "O" else None)
        file[name].attrs.update(attributes)


def some_values(values, how, chance, rng):
    """Change one value in ten, or all by a factor, within the type of the array."""
    if how == 6:
        hit = rng.random(values.shape) < 0.1
        others = chance.choice([0.0, -1.0, 1.0, 100.0, 1e-9, 1e9, float(rng.normal())])
        return np.where(hit, np.asarray(others).astype(values.dtype), values)
    factor = chance.choice([-1, 0, 1e-12, 1e-3, 10, 1e6])
    return (values * factor).astype(values.dtype)


def data():
    """Give counts to fit, and others to map: a known batch and a new one, with a gene less and another one."""
    adata = ub.simulate(n_cells=120, n_genes=25, n_batches=2, seed=6)
    adata.obs["condition"] = np.where(np.arange(120) % 2, "a", "b")
    new = adata[:50, 1:].copy()
    new.obs["batch"] = np.where(np.arange(50) < 10, "batch_1", "new")
    new.obs_names = [f"new{number}" for number in range(50)]
    return adata, new


def fitted(adata):
    """Give a model with all that a model can hold, but of the tables of its diagnostics, which are shown, one."""
    ub.tl.batch_effects(adata, batch_key="batch", match_within="condition", state_specific=True)
    model = as_anndata(read_slots(adata))
    shown = model.uns["unbatch"]["diagnostics"]
    model.uns["unbatch"]["diagnostics"] = {"verdicts": shown["verdicts"]}
    return model


def use(path, adata, new):
    """Read a model, adjust counts by it and map cells onto it; give the exit code."""
    try:
        model = ub.BatchModel.load(path)
        for one in (model, model.map(new, batch_key="batch")):
            adjusted = one.adjust(*((adata.X, adata.obs["batch"]) if one is model else (new.X, new.obs["batch"])))
            assert np.isfinite(adjusted.data).all(), "adjusted counts"
            for name in ("log_delta", "embedding", "overlap"):
                values = getattr(one.result, name)
                assert values is None or np.isfinite(values).all(), name  # None as of a fit of effects only
            assert not np.isnan(one.result.se).any(), "se"
    except InputError:
        code = _REFUSED
    except MemoryError:
        code = _MEMORY
    except BaseException:  # noqa: BLE001 - any other is what is looked for
        traceback.print_exc()
        code = _ERROR
    else:
        code = _ANSWER
    return _MEMORY if peak_bytes() > MOST_MEMORY else code


def in_fork(path, adata, new, seconds):
    """Use a model in a fork for so long at most; give its exit code, negative for a signal."""
    process = os.fork()
    if process == 0:
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.setitimer(signal.ITIMER_PROF, seconds)  # of its own time, however busy the machine is
        os._exit(use(path, adata, new))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def run():
    """Do what the command line asks for, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="Turn to begin with.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0, help="Time of the processor for each run.")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    adata, new = data()
    found = dict.fromkeys(("answers", "refused", "errors", "too much memory", "endless", "crashes"), 0)
    with contextlib.suppress(KeyboardInterrupt), tempfile.TemporaryDirectory() as folder:  # what was done is told
        path = Path(folder) / "model.h5ad"
        compiling = os.fork()  # which takes memory that is not to be counted
        if compiling == 0:
            fitted(adata).write_h5ad(path)
            use(path, adata, new)
            os._exit(0)
        assert os.waitpid(compiling, 0)[1] == 0
        content, inside = path.read_bytes(), arrays(path)
        assert use(path, adata, new) == _ANSWER  # loads what was compiled, of which the forks have the use
        for turn in range(chosen.first, chosen.first + chosen.runs):
            chance = random.Random(chosen.seed * 1_000_003 + turn)  # noqa: S311
            path.write_bytes(content if turn % 2 else spoil_bytes(content, chance))
            if turn % 2:
                spoil_array(path, chance.choice(inside), chance)
            code = in_fork(path, adata, new, chosen.seconds)
            name = list(found)[code] if code >= 0 else "endless" if code == -signal.SIGPROF else "crashes"
            found[name] += 1
            if code not in {_ANSWER, _REFUSED}:
                print(json.dumps({"turn": turn, "seed": chosen.seed, "exit": code}), flush=True)  # noqa: T201
    print(json.dumps({"runs": sum(found.values()), **found}))  # noqa: T201
    sys.exit(int(found["errors"] + found["too much memory"] + found["crashes"] > 0))


if __name__ == "__main__":
    run()
