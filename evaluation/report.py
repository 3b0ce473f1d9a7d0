"""Reports of evaluations: a table, `report.json`, and `report.html`, which opens without a network."""

import html
import io
import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from evaluation.evaluate import Evaluation
from evaluation.image_set import EvaluationError, Samples
from evaluation.intervals import Estimate
from evaluation.metrics.masks import HISTOGRAM_BINS
from evaluation.metrics.memorisation import MEMORISATION, Audit, aligned, kind_of_copy
from evaluation.metrics.metric import Row
from evaluation.metrics.texture import PATCH
from evaluation.pictures import figure, grid, thumbnail
from evaluation.plain import plain
from preprocessing.atomic import write_whole
from preprocessing.counted import counted
from preprocessing.errors import system_errors_as
from preprocessing.shards import shows_patients
from preprocessing.version import made_by

WORST = 8  # pairs shown of an audit


@dataclass(frozen=True)
class Report:
    """The evaluation of one set of generated images.

    Attributes:
        evaluation: what was measured.
        method: what it is a run of, where a method has several; "" for one of its own.
    """

    evaluation: Evaluation
    method: str = ""

    @property
    def audit(self) -> Audit | None:
        """The audit of memorisation, where there is one."""
        return _row(self, MEMORISATION.name).detail


# ------------------------------------------------------------------------------------------- text


def table(reports: Mapping[str, Report]) -> str:
    """Format a table, one line per metric: real next to every method, with 95 % intervals, and the best method.

    "Real" is the value of the real images; for a distance, that of one half of them from the other. An asterisk stands
    where the interval of a method and that of real do not overlap.
    """
    names, many = list(reports), len(_methods(reports)) > 1
    rows = [(row, [_row(report, row.name) for report in reports.values()]) for row in _first(reports).rows]
    cells = [["metric", "", "wanted", "real, or half of it to the other", *names, *(["best"] if many else [])]]
    for row, of_methods in rows:
        line = [row.name, row.title, row.wanted, _cell(row, "real"), *(_method_cell(one, row) for one in of_methods)]
        cells.append([*line, best(reports, row.name)] if many else line)
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in cells]
    lines += ["", *_problems(reports)]
    lines += [f"{name}: {_audit_line(report)}" for name, report in reports.items()]
    return "\n".join(lines)


def best(reports: Mapping[str, Report], metric: str) -> str:
    """Find the method each of whose runs beats every rival run, intervals disjoint.

    Returns:
        Its name; "undecided" if there is none; "" if fewer than two methods have a value.
    """
    measured: dict[str, list[tuple[float, Estimate]]] = defaultdict(list)
    for name, report in reports.items():
        row = _row(report, metric)
        if row.generated is not None:
            measured[report.method or name].append((_cost(row, row.generated), row.generated))
    if len(measured) < 2:
        return ""

    def beats(ours: tuple[float, Estimate], theirs: tuple[float, Estimate]) -> bool:
        (cost, a), (other, b) = ours, theirs
        return cost < other and (a.high < b.low or a.low > b.high)

    first = min(measured, key=lambda method: min(cost for cost, _ in measured[method]))
    others = [run for method, runs in measured.items() if method != first for run in runs]
    return first if all(beats(ours, theirs) for ours in measured[first] for theirs in others) else "undecided"


def _cost(row: Row, generated: Estimate) -> float:
    """Return a number that falls as results improve: the value, its negative, or its distance from the real images'."""
    if row.wanted in ("low", "high"):
        return generated.value if row.wanted == "low" else -generated.value
    return abs(generated.value - row.real.value) if row.real else float("nan")


def _methods(reports: Mapping[str, Report]) -> set[str]:
    return {report.method or name for name, report in reports.items()}


def _cell(row: Row, kind: str) -> str:
    estimate = row.real if kind == "real" else row.generated
    return "-" if estimate is None else f"{estimate}{_chance(row, kind)}"


def _chance(row: Row, kind: str) -> str:
    return f" (chance {row.chance[kind]:.2f})" if kind in row.chance else ""


def _method_cell(row: Row, first: Row) -> str:
    own = f" (real {row.real})" if _has_own_floor(row, first) else ""
    return _cell(row, "generated") + (" *" if row.verdict == "differs" else "") + own


def _has_own_floor(row: Row, first: Row) -> bool:
    """Whether the value of real images for this method is not the one shown: it has more or fewer images."""
    return row.real is not None and row.real != first.real


def _row(report: Report, name: str) -> Row:
    return next((row for row in report.evaluation.rows if row.name == name), Row(name, name, ""))


def _first(reports: Mapping[str, Report]) -> Evaluation:
    """Return the evaluation with the most rows: a metric without enough images has one, others one per level."""
    return max((report.evaluation for report in reports.values()), key=lambda evaluation: len(evaluation.rows))


def _problems(reports: Mapping[str, Report]) -> list[str]:
    """List each reason why something has no value: metrics, runs, reason."""
    found: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for name, report in reports.items():
        for row in report.evaluation.rows:
            if row.problem:
                for known, new in zip(found[row.problem], (row.name, name)):
                    if new not in known:
                        known.append(new)
    return [f"no {', '.join(metrics)} of {', '.join(runs)}: {why}" for why, (metrics, runs) in found.items()]


def _audit_line(report: Report) -> str:
    if report.audit is None:
        return f"no audit of memorisation ({_row(report, MEMORISATION.name).problem or 'not asked for'})"
    audit = report.audit
    control = max(match.score for match in audit.held_out)
    nearest = max(match.score for match in audit.generated)
    return (
        f"{len(audit.suspicious)} of {counted(len(audit.generated), 'image')} suspiciously near to a training image "
        f"(score above {audit.threshold:.3f}; nearest {nearest:.3f}, held-out real {control:.3f})"
    )


# ------------------------------------------------------------------------------------------- files


def write(reports: Mapping[str, Report], folder: str | os.PathLike, made: Mapping | None = None) -> None:
    """Write `report.json`, `report.html` and `table.txt`, each in one step.

    Args:
        reports: name of a run → its report; all have the same real images.
        folder: created where it is absent.
        made: more entries of `report.json` about how it was made.

    Raises:
        EvaluationError: the folder cannot be written.
    """
    folder = Path(folder)
    content = {**(made or {}), "made_by": made_by(), **as_json(reports)}
    texts = {
        "report.json": json.dumps(content, indent=1, allow_nan=False) + "\n",
        "table.txt": table(reports) + "\n",
        "report.html": as_html(reports),
    }
    with system_errors_as(EvaluationError, f"--output {folder}"):
        for name, text in texts.items():
            write_whole(folder / name, text)


def as_json(reports: Mapping[str, Report]) -> dict:
    """Return everything measured, as JSON can hold it; numbers that are not finite become null."""
    real = _first(reports).real
    return {
        "real": {"images": len(real), "size": list(real.size), **_origin(real)},
        "methods": {name: _method_json(report) for name, report in reports.items()},
    }


def _origin(samples: Samples) -> dict:
    """Say which dataset images are from, and which generator made it."""
    if samples.dataset is None:
        return {}
    return {"dataset": samples.dataset.fingerprint, "generator": samples.dataset.meta.get("generator")}


def _method_json(report: Report) -> dict:
    evaluation = report.evaluation
    thousands = (len(evaluation.real) + len(evaluation.fake)) / 1000
    rows = [_row_json(row) for row in evaluation.rows]
    return plain(
        {
            **({"method": report.method} if report.method else {}),
            "images": len(evaluation.fake),
            **_origin(evaluation.fake),
            "extractor": evaluation.extractor,
            "metrics": rows,
            "seconds per 1000 images": {name: s / thousands for name, s in evaluation.seconds.items()},
            "memorisation": _audit_json(report),
        }
    )


def _row_json(row: Row) -> dict:
    """Return what a row holds, but for its detail, which may be large."""
    values = asdict(replace(row, detail=None))
    return {name: value for name, value in values.items() if name != "detail"} | {"verdict": row.verdict}


def _audit_json(report: Report) -> dict | None:
    """Return what the audit found; images are named by their items in the datasets."""
    audit = report.audit
    if audit is None:
        return None
    generated, training = report.evaluation.fake.items.tolist(), audit.training.items.tolist()
    pairs = []
    for number in audit.worst[: max(WORST, len(audit.suspicious))]:
        match = audit.generated[number]
        of_match = {"score": match.score, "flip": match.flip, "shift": match.shift}
        pairs.append({"generated": generated[number], "training": training[match.index], **of_match})
    return {
        "threshold": audit.threshold,
        "suspicious": [generated[number] for number in audit.suspicious],
        "nearest": pairs,
        "held_out": [match.score for match in audit.held_out],
    }


# -------------------------------------------------------------------------------------------- page

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 0; padding: 1.5rem 2rem; }
p, figure { max-width: 75rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td:nth-child(2) { min-width: 13rem; } td:nth-child(n+5) { max-width: 11rem; }
td small { color: #777; white-space: nowrap; display: block; }
.patients { border: 2px solid #b3261e; padding: .4rem .8rem; }
.differs { color: #b3261e; } .note { color: #666; }
img { max-width: 100%; height: auto; display: block; background: #000; } figure { margin: .6rem 0 1.2rem; }
figure.plot img { background: none; } figcaption { color: #555; }
"""


def as_html(reports: Mapping[str, Report]) -> str:
    """Make one page with all images in it: table, grids, histograms, spectra, nearest pairs."""
    first = _first(reports)
    height, width = first.real.size
    generated = [f"{len(report.evaluation.fake)} of {html.escape(name)}" for name, report in reports.items()]
    counts = ", ".join([counted(len(first.real), "real image"), *generated])
    parts = [
        "<h1>Generated images next to real ones</h1>",
        _notice([first.real, *(report.evaluation.fake for report in reports.values())]),
        f'<p class="note">{counts}; {height}×{width} pixels; features: {html.escape(first.extractor)}</p>',
        _html_table(reports),
        "<h2>Images</h2>",
        figure(grid(first.real), "real"),
        *(figure(grid(report.evaluation.fake), name) for name, report in reports.items()),
        _plots(reports),
        "<h2>Nearest training images</h2>",
        *(_pairs(name, report) for name, report in reports.items()),
    ]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>Evaluation</title><style>{STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _notice(shown: Sequence[Samples]) -> str:
    """Say at the top of the page whether it shows images of patients; those of an array may."""
    if not any(samples.dataset is None or shows_patients(samples.dataset.meta) for samples in shown):
        return '<p class="note">The “real” images of this page are synthetic: it shows no patient.</p>'
    return (
        '<p class="patients"><b>This page contains real images, of patients.</b> Treat it as you would treat '
        "the images themselves.</p>"
    )


def _html_table(reports: Mapping[str, Report]) -> str:
    names = list(reports)
    many = len(_methods(reports)) > 1
    heads = ["metric", "", "wanted", *(["best"] if many else []), "real", *names]
    lines = ["<tr>" + "".join(f"<th>{html.escape(head)}</th>" for head in heads) + "</tr>"]
    for row in _first(reports).rows:
        of_methods = [_row(report, row.name) for report in reports.values()]
        cells = [html.escape(row.name), html.escape(row.title), row.wanted]
        cells += [html.escape(best(reports, row.name))] if many else []
        cells += [
            _html_cell(row.real, row.halves) + _chance(row, "real"),
            *(_html_method(one, row) for one in of_methods),
        ]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    note = (
        "Small print: 95 % interval (over patients, or masks), number of images. “Real” is the value of real images "
        "and, as ±, the difference between two halves of them; for a distance it is the distance between the halves, "
        "which a perfect generator would have too. Red: the intervals of method and real do not overlap. "
        "“z” in a name means features standardised by the real images; such an FID cannot be compared with a "
        "published one."
    )
    if many:
        note += " “Best” is a method only if the intervals of all its runs are disjoint from those of all others."
    return f'<div class="scroll"><table>{"".join(lines)}</table></div><p class="note">{note}</p>'


def _html_cell(estimate: Estimate | None, halves: float | None = None) -> str:
    if estimate is None:
        return "–"
    apart = f" ± {halves:.2g}" if halves is not None else ""
    interval = f"[{estimate.low:.3g}, {estimate.high:.3g}], {estimate.count}"
    return f"{estimate.value:.3g}{apart}<small>{interval}</small>"


def _html_method(row: Row, first: Row) -> str:
    if row.problem:
        return f'<span class="note">{html.escape(row.problem)}</span>'
    own = f"<small>real: {row.real}</small>" if _has_own_floor(row, first) else ""
    cell = f"{_html_cell(row.generated)}{_chance(row, 'generated')}"
    return f'<span class="{row.verdict.replace(" ", "-")}">{cell}</span>{own}'


def _plots(reports: Mapping[str, Report]) -> str:
    """Plot histograms of brightness and spectra of texture, where they were measured."""
    from matplotlib.figure import Figure  # not pyplot: no display, no global state

    curves = {"real": {name: both[0] for name, both in _first(reports).described.items()}}
    for method, report in reports.items():
        curves[method] = {name: both[1] for name, both in report.evaluation.described.items()}
    drawable = lambda described, name: name in described and np.isfinite(described[name]).all(axis=1).any()
    wanted = [name for name in ("histogram", "spectrum") if all(drawable(c, name) for c in curves.values())]
    if not wanted:
        return ""
    sheet = Figure(figsize=(5.5 * len(wanted), 3.8), layout="constrained")
    for axis, name in zip(sheet.subplots(1, len(wanted), squeeze=False)[0], wanted):
        for number, (method, described) in enumerate(curves.items()):
            rows = described[name]
            mean = rows[np.isfinite(rows).all(axis=1)].mean(axis=0)
            style = {"color": "black" if number == 0 else f"C{number - 1}", "label": method}
            if name == "histogram":
                axis.plot((np.arange(HISTOGRAM_BINS) + 0.5) / HISTOGRAM_BINS, mean * HISTOGRAM_BINS, **style)
            else:
                axis.loglog(np.arange(1, PATCH // 2 + 1) / PATCH, mean, **style)
                octaves = [PATCH, PATCH // 2, PATCH // 4, PATCH // 8, 4, 2]
                axis.set_xticks([1 / n for n in octaves], [f"1/{n}" for n in octaves])
                axis.xaxis.minorticks_off()
        axis.legend(fontsize=8)
        titles = {"histogram": ("brightness", "density"), "spectrum": ("cycles per pixel", "power")}
        axis.set_xlabel(titles[name][0])
        axis.set_ylabel(titles[name][1])
    content = io.BytesIO()
    sheet.savefig(content, format="png", dpi=110)
    return "<h2>Brightness and texture</h2>" + figure(
        content.getvalue(), "inside the masks, mean of all images", "plot"
    )


def _pairs(name: str, report: Report) -> str:
    """Show the generated images nearest to training images, each above its match, flipped and shifted to fit."""
    text = f"<p>{html.escape(name)}: {html.escape(_audit_line(report))}.</p>"
    if report.audit is None or not report.audit.generated:
        return text
    above, below, notes = [], [], []
    for number in report.audit.worst[:WORST]:
        match = report.audit.generated[number]
        image = report.evaluation.fake.read([number])[0][0]
        kind, similarity = kind_of_copy(image, report.audit.training, match)
        above.append(thumbnail(image))
        below.append(thumbnail(aligned(report.audit.training, match)))
        flagged = f", {kind} copy" if match.score > report.audit.threshold else ""
        items = f"item {report.evaluation.fake.items[number]}, training item {report.audit.training.items[match.index]}"
        alike = "" if similarity is None else f", MS-SSIM {similarity:.3f}"
        notes.append(f"{items}: score {match.score:.3f}{alike}{flagged}")
    picture = np.vstack([np.hstack(above), np.hstack(below)])
    return text + figure(picture, "generated (above), training image (below); " + "; ".join(notes))
