"""How the fit went, and how to do it again: trace, time, parameters, versions, the command."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unbatch._types import FloatArray
from unbatch.methods import OF_EVERY_METHOD, own_options
from unbatch.report.reading import Fitted
from unbatch.report.tables import Column, Table, table
from unbatch.report.text import number, prose, shown

_GIGA = 1e9
_LINE = (240, 90)
_MARGIN = 8
_MOST_CONTROLS = 20
_LEAST_SECONDS = 0.05
_MOST_ROUNDS = 30
_TRACES = {
    "change": "largest change of a log effect",
    "matched": "share of cells with a match",
    "objective": "objective",
    "states": "cell states",
}
_STOPS = {
    "converged": "The effects settled.",
    "nothing shared": "No two batches share a cell state: no effect could be estimated.",
}


@dataclass(frozen=True)
class Line:
    """One quantity of the trace as a line."""

    name: str
    path: str
    marks: tuple[tuple[float, float], ...]
    first: str
    last: str
    n_rounds: int


@dataclass(frozen=True)
class Running:
    """Trace, times and what to type to have the same again.

    Attributes
    ----------
    stop
        Why the iterations ended.
    lines
        One per quantity of the trace.
    trace
        The same as numbers.
    timings, parameters, versions
        As tables.
    memory
        Most memory in GB; empty if it is not known.
    command
        What to type.
    language
        "shell" or "python".
    """

    stop: str
    lines: tuple[Line, ...]
    trace: Table
    timings: Table
    parameters: Table
    versions: Table
    memory: str
    command: str
    language: str


def running(fitted: Fitted) -> Running:
    """Read how the fit went from its record."""
    record = fitted.record
    trace = {str(name): np.atleast_1d(np.asarray(values, dtype=np.float64)) for name, values in record["trace"].items()}
    n_rounds = max((len(values) for values in trace.values()), default=0)
    stop = str(record["stop_reason"])
    said = _STOPS.get(stop, f"It stopped while effects still moved ({prose(stop)}): raise the number of rounds.")
    peak = float(record.get("peak_bytes", math.nan))
    command = str(record.get("command", ""))
    return Running(
        stop=f"{said} {n_rounds} rounds." if n_rounds != 1 else f"{said} 1 round.",
        lines=tuple(_line(name, values) for name, values in trace.items() if len(values) > 1),
        trace=_trace_table(trace, n_rounds),
        timings=_timings(record["timings"], fitted.n_fitted),
        parameters=_parameters(record, fitted.relative_to),
        versions=_pairs("Versions", "Software", "Version", record["versions"]),
        memory=f"{peak / _GIGA:.2f} GB" if math.isfinite(peak) else "",
        command=command or python_call(fitted),
        language="shell" if command else "python",
    )


def python_call(fitted: Fitted) -> str:
    """Write the call that gives the same fit, from what the record keeps of it."""
    record = fitted.record
    options = {str(name): _plain(value) for name, value in record["parameters"].items()}
    own = own_options(options)
    kind = {"matched": "MatchedOptions", "concept": "ConceptOptions"}.get(str(record["method"]), "options")
    method = f"ub.{kind}({', '.join(f'{name}={value!r}' for name, value in own.items())})"
    if "mapped_onto" in record:
        return "import unbatch as ub\n\nub.tl.map_cells(adata, model=MODEL)"
    keys = [str(key) for key in record["batch_key"]]
    controls = [str(gene) for gene in record.get("control_genes", ())]
    within = [str(key) for key in record.get("match_within", ())]
    reference = str(record.get("reference", ""))
    layer = str(record["layer"])
    given: dict[str, str] = {"batch_key": repr(keys[0] if len(keys) == 1 else keys) if keys else "BATCH_COLUMN"}
    given |= {"layer": repr(layer)} if layer != "X" else {}
    given |= {"method": method}
    given |= {name: repr(options[name]) for name in OF_EVERY_METHOD if name in options}
    given |= {"reference": repr(reference)} if reference else {}
    given |= {"match_within": repr(within[0] if len(within) == 1 else within)} if within else {}
    if controls:
        more = ", ..." if len(controls) > _MOST_CONTROLS else ""
        given["control_genes"] = f"[{', '.join(map(repr, controls[:_MOST_CONTROLS]))}{more}]"
    given |= {"effects_only": "True"} if not bool(record.get("placed", True)) else {}
    given |= {"state_specific": "True"} if "state_effects" in record else {}
    lines = "".join(f"    {name}={value},\n" for name, value in given.items())
    return f"import unbatch as ub\n\nub.tl.batch_effects(\n    adata,\n{lines})"


def _line(name: str, values: FloatArray) -> Line:
    width, height = _LINE
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    x = _MARGIN + (width - 2 * _MARGIN) * np.arange(len(values)) / max(len(values) - 1, 1)
    level = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
    y = height - _MARGIN - (height - 2 * _MARGIN) * np.where(np.isfinite(values), level, 0.0)
    points = [(round(float(a), 1), round(float(b), 1)) for a, b in zip(x, y, strict=True)]
    path = "M" + "L".join(f"{a:g} {b:g}" for a, b in points)
    marks = tuple(points) if len(points) <= 30 else ()  # noqa: PLR2004 - more marks than that are a thick line
    title = _TRACES.get(name, shown(name).replace("_", " "))
    return Line(title, path, marks, number(values[0]), number(values[-1]), len(values))


def _trace_table(trace: Mapping[str, FloatArray], n_rounds: int) -> Table:
    columns = [Column("Round", "name"), *(Column(_TRACES.get(name, shown(name))) for name in trace)]
    cells = [
        (
            str(place + 1),
            *(number(values[place]) if place < len(values) else "\N{EN DASH}" for values in trace.values()),
        )
        for place in range(min(n_rounds, _MOST_ROUNDS))
    ]
    return table("Trace", columns, cells, total=n_rounds, order="the first")


def _timings(timings: Mapping[str, Any], n_cells: int) -> Table:
    seconds = {str(name): float(value) for name, value in timings.items()}
    rows = [*sorted(seconds.items(), key=lambda pair: -pair[1]), ("in all", sum(seconds.values()))]
    cells = [
        (shown(name), f"{value:.1f}", f"{n_cells / value:,.0f}" if value >= _LEAST_SECONDS else "\N{EN DASH}")
        for name, value in rows
    ]
    return table("Time", [Column("Stage", "name"), Column("Seconds"), Column("Cells per second")], cells)


def _parameters(record: Mapping[str, Any], relative_to: str) -> Table:
    plain = {str(name): _plain(value) for name, value in record["parameters"].items()}
    design = {
        "method": str(record["method"]),
        "batch key": " and ".join(str(key) for key in record["batch_key"]) or "one batch per file, or labels",
        "counts": str(record["layer"]),
        "reference": relative_to,
        "matched within": " and ".join(str(key) for key in record.get("match_within", ())) or "everywhere",
        "control genes": number(len(record.get("control_genes", ()))),
    }
    return _pairs("Parameters", "Parameter", "Value", {**design, **plain})


def _pairs(caption: str, name: str, value: str, pairs: Mapping[str, Any]) -> Table:
    cells = [(shown(key), shown(content)) for key, content in pairs.items()]
    return table(caption, [Column(name, "name"), Column(value, "text")], cells)


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever anndata read
    return value.item() if isinstance(value, np.generic) else value
