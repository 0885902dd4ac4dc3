"""Which drawings a page has: results in, titled drawings out."""

import statistics
from dataclasses import dataclass

from refimpl.report import plots, text
from refimpl.report.agreement_lines import Line, lines
from refimpl.report.drawing import style_of
from refimpl.report.lookup import cell, dampings, find, narrowed
from refimpl.report.results import Reference, Responses, Results

__all__ = [
    "Chart",
    "agreement_charts",
    "certificate_charts",
    "decile_chart",
    "scatter_rows",
    "trace_charts",
]


@dataclass(frozen=True)
class Chart:
    """A drawing with its title."""

    title: str
    svg: str


@dataclass(frozen=True)
class ScatterRow:
    """Scatter plots of every curvature against one outcome at one damping."""

    reference: str
    damping: str
    drawn: int
    pairs: int
    charts: list[Chart]


def agreement_charts(results: Results, reference: Reference) -> list[Chart]:
    """Agreement over damping, one drawing per statistic that was measured at two dampings or more.

    Args:
        results: The plain data.
        reference: What is agreed with.
    """
    results = narrowed(results, reference=reference["name"])
    charts: list[Chart] = []
    for statistic in results.get("statistics", []):
        if not statistic.get("plotted", True):
            continue
        figures = narrowed(results, statistic=statistic["name"])
        series = _series(figures, reference["name"], statistic["name"])
        if len({x for s in series for x in s.x}) < 2:
            continue  # a line needs two points
        error = statistic["better"] == "lower"
        positive = all(y > 0 for s in series for y in (*s.y, *s.low))
        lowest = min(y for s in series for y in s.low)
        svg = lines(
            series,
            label=statistic["label"],
            log=error and positive,
            limits=None if error else (min(0.0, lowest - 0.02), 1.02),
            chance=reference.get("chance", {}).get(statistic["name"]),
        )
        charts.append(Chart(statistic["label"], svg))
    return charts


def _series(results: Results, reference: str, statistic: str) -> list[Line]:
    curvatures = results["curvatures"]
    styles = style_of([c["family"] for c in curvatures])
    series: list[Line] = []
    for entry, (slot, variant) in zip(curvatures, styles, strict=True):
        if entry["name"] == reference or not entry.get("plotted", True):
            continue
        known = [
            (d, c)
            for d in dampings(results)
            if (c := cell(results, reference, d, entry["name"], statistic)) is not None
        ]
        if known:
            series.append(
                Line(
                    entry["name"],
                    [d for d, _ in known],
                    [c.value for _, c in known],
                    [c.low for _, c in known],
                    [c.high for _, c in known],
                    slot,
                    variant,
                )
            )
    return series


def scatter_rows(results: Results) -> list[ScatterRow]:
    """Predicted against measured changes, one row of drawings per outcome.

    Args:
        results: The plain data.
    """
    rows: list[ScatterRow] = []
    for data in results.get("scatter", []):
        sizes = [abs(v) for v in data["measured"]]
        limit = 1.3 * max(sizes)
        # Linear below the median size: half of the pairs lie in the linear part.
        linear = max(statistics.median(sizes), 1e-4 * limit)
        charts: list[Chart] = []
        for name, values in data["predicted"].items():
            spoken = f"{name}: predicted against measured change, {data['reference']}"
            svg = plots.scatter(values, data["measured"], limit=limit, linear=linear, name=spoken)
            charts.append(Chart(name, svg))
        rows.append(
            ScatterRow(
                data["reference"],
                text.damping(data["damping"]),
                len(data["measured"]),
                data["pairs"],
                charts,
            )
        )
    return rows


def certificate_charts(results: Results) -> list[Chart]:
    """How stationary each retraining ended, and in how many steps.

    Args:
        results: The plain data.
    """
    responses = results.get("responses", [])
    if not responses:
        return []
    charts: list[Chart] = []
    tolerances = list(dict.fromkeys(r["tolerance"] for r in responses))
    for tolerance in tolerances:
        alike = find(responses, tolerance=tolerance)
        charts += _certificates(alike, tolerance, several=len(tolerances) > 1)
    return charts


def _certificates(responses: list[Responses], tolerance: float, *, several: bool) -> list[Chart]:
    norms: list[plots.Strip] = []
    steps: list[plots.Strip] = []
    kinds = list(dict.fromkeys((r["reference"], r["damping"]) for r in responses))
    for reference, damping in sorted(kinds, key=lambda k: (-(k[1] or 0.0), k[0])):
        name = reference + text.at_damping(damping)
        pairs = [
            (norm, count, ok)
            for r in find(responses, reference=reference, damping=damping)
            for norm, count, ok in zip(
                r["relative_gradient_norm"], r["iterations"], r["converged"], strict=True
            )
        ]
        # An exact zero has no place on a logarithmic axis: it is drawn at the rounding level.
        known = [(max(n, 1e-17), ok) for n, _, ok in pairs if n is not None]
        norms.append(
            plots.Strip(name, [n for n, ok in known if ok], [n for n, ok in known if not ok])
        )
        steps.append(
            plots.Strip(
                name,
                [float(c) for _, c, ok in pairs if ok],
                [float(c) for _, c, ok in pairs if not ok],
            )
        )
    among = f", tolerance {text.power(tolerance)}" if several else ""
    return [
        Chart(
            "Gradient norm where it ended, relative to the start" + among,
            plots.strips(norms, label="relative gradient norm", tolerance=tolerance, log=True),
        ),
        Chart(
            "Steps taken" + among,
            plots.strips(steps, label="accepted steps", tolerance=None, log=False),
        ),
    ]


def trace_charts(results: Results) -> list[Chart]:
    """How iterative solves converged, a drawing per curvature: the mean over seeds at each damping.

    Args:
        results: The plain data.
    """
    charts: list[Chart] = []
    traces = results.get("traces", [])
    for name in dict.fromkeys(t["curvature"] for t in traces):
        series: dict[str, tuple[list[int], list[float]]] = {}
        for damping in sorted({t["damping"] for t in traces}, reverse=True):
            seeds = find(traces, curvature=name, damping=damping)
            columns = zip(*(t["residuals"] for t in seeds), strict=True)
            mean = [statistics.fmean(column) for column in columns]
            series[f"λ = {text.damping(damping)}"] = (seeds[0]["steps"], mean)
        title = f"{name}: residual of the whole matrix over steps, mean over queries"
        charts.append(Chart(title, plots.traces(series, name=title)))
    return charts


def decile_chart(results: Results) -> Chart | None:
    """Where the most influential examples stand among all training losses.

    Args:
        results: The plain data.
    """
    tops = results.get("top_examples", [])
    if not tops:
        return None
    groups: dict[str, list[float]] = {}
    for group in dict.fromkeys(t["group"] for t in tops):
        shares = [t["deciles"] for t in tops if t["group"] == group]
        groups[group] = [statistics.fmean(column) for column in zip(*shares, strict=True)]
    svg = plots.bars(
        groups,
        label="percentile of the example's own loss among all training losses",
        level=1 / len(next(iter(groups.values()))),
        name="own losses of the most influential examples",
    )
    return Chart("Own loss of the most influential examples", svg)
