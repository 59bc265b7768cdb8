"""From a fit to a page: one HTML file that needs nothing but itself."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from unbatch.report import balanced, diagnosed
from unbatch.report.effects import MOST_EFFECTS, find_effects
from unbatch.report.maps import N_COLOURS, SIDE, draw_maps
from unbatch.report.reading import Fitted
from unbatch.report.running import running
from unbatch.report.steps import STEPS, in_parts
from unbatch.report.tables import STRIP_WIDTH
from unbatch.report.text import count, shown

_WORST_FIRST = ("do not trust", "look here", "fine")
_HEADLINES = {
    "do not trust": "Do not trust this correction as it is",
    "look here": "Look here before you go on",
    "fine": "Nothing stands against this correction",
}


def render(fitted: Fitted, *, most_cells: int, columns: Sequence[str] = ()) -> str:
    """Make the page.

    The same fit gives the same page. No name in it can become markup: everything is escaped, and the browser is told to
    run no script and to load nothing but what is in the page (Content-Security-Policy with hashes).

    Parameters
    ----------
    fitted
        What is shown.
    most_cells
        Cells on each map at most; more of them take longer to lay out and make a larger page.
    columns
        Columns of obs by which maps are coloured, besides the batch.
    """
    style, script = _part("style.css"), _part("script.js")
    verdicts = diagnosed.verdicts(fitted)
    record = fitted.record
    page = _environment().get_template("page.html")
    return page.render(
        name=shown(fitted.name) or "cells in memory",
        in_memory=not fitted.name,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        policy=_policy(style, script),
        unbatch=version("unbatch"),
        n_cells=f"{fitted.n_fitted:,}",
        n_genes=f"{len(record['genes']):,}",
        still=_still(fitted),
        batches=count(len(fitted.batches), "batch"),
        too_small=[shown(name) for name in record["too_small"]],
        keys=" and ".join(shown(key) for key in record["batch_key"]),
        method=shown(record["method"]),
        fitted_by=shown(record["versions"].get("unbatch", "?")),
        relative_to=shown(fitted.relative_to),
        mapped=_mapped(fitted),
        diagnosed=fitted.diagnosed,
        verdicts=verdicts,
        headline=_headline(verdicts),
        need=diagnosed.need(fitted),
        overlap=diagnosed.overlap(fitted),
        balance=balanced.balance(fitted),
        remainder=balanced.remainder(fitted),
        families=balanced.families(fitted),
        effects=find_effects(fitted),
        most_effects=f"{MOST_EFFECTS:,}",
        drawn=draw_maps(fitted, most_cells=most_cells, columns=columns),
        running=running(fitted),
        steps=[(in_parts(step), in_parts(use)) for step, use in STEPS],
        side=SIDE,
        n_colours=N_COLOURS,
        strip_width=STRIP_WIDTH,
    )


def _headline(verdicts: Sequence[diagnosed.Verdict]) -> tuple[str, str]:
    """Give the worst of the verdicts, and how many of each there are."""
    found = [verdict.verdict for verdict in verdicts]
    worst = next((level for level in _WORST_FIRST if level in found), "")
    counts = [f"{found.count(level)} {level}" for level in _WORST_FIRST if level in found]
    return _HEADLINES.get(worst, ""), f"{count(len(found), 'check')}: {', '.join(counts)}."


def _still(fitted: Fitted) -> str:
    """Say how much of the fit is still there, if not all."""
    kept = (fitted.n_cells, len(fitted.genes))
    if kept == (fitted.n_fitted, len(fitted.record["genes"])):
        return ""
    return f"{kept[0]:,} of the cells and {kept[1]:,} of the genes are still there."


def _mapped(fitted: Fitted) -> str:
    """Say onto what cells were mapped; nothing if they were fitted."""
    onto = fitted.record.get("mapped_onto")
    if onto is None:
        return ""
    known, model = len(onto["known"]), len(onto["batches"])
    return (
        f"These cells were mapped onto a fit of {int(onto['n_cells']):,} cells in {count(model, 'batch')}, which did "
        f"not change; of their batches it knew {known}. They lack {count(int(onto['missing_genes']), 'gene')} of the "
        f"fit, and have {count(int(onto['unknown_genes']), 'gene')} that it does not know."
    )


def _policy(style: str, script: str) -> str:
    """Content-Security-Policy by which a browser loads nothing and runs only our own script."""
    styles, scripts = (f"'sha256-{_digest(text)}'" for text in (style, script))
    return (
        f"default-src 'none'; style-src {styles}; script-src {scripts}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _part(name: str) -> str:
    return files("unbatch.report").joinpath("templates", name).read_text(encoding="utf-8")


def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_part), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
