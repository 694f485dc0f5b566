"""Measure the training cost of a sentence by length and by depth, in both families.

    python benchmarks/bench_cost.py                     # the table
    python benchmarks/bench_cost.py --plot cost.png     # and the figure

The small presets of `bench_training.py` train on batches of 4,096 source and target tokens: longer
sentences come in smaller batches.
"""

import argparse
import json
import time
from pathlib import Path

from bench_training import PRESETS, preset_step, random_ids
from rich.console import Console
from rich.table import Table

TOKENS, USUAL_LENGTH, USUAL_DEPTH = 4096, 32, 4
LENGTHS = (16, 32, 64, 128, 256, 512)
DEPTHS = (1, 2, 4, 8)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", default="float32", help="dtype policy, such as mixed_bfloat16")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--plot", metavar="PNG", help="file of the figure to write")
    parser.add_argument(
        "--json", metavar="FILE", help="file of the numbers: read if it exists, otherwise written"
    )
    options = parser.parse_args()
    kept = options.json and Path(options.json)
    if kept and kept.exists():
        costs = json.loads(kept.read_text())
    else:
        costs = {family: measured(family, options) for family in PRESETS}
        if kept:
            kept.write_text(json.dumps(costs))
    Console(width=120).print(cost_table(costs))
    if options.plot:
        plot(costs, options.plot)


def measured(family, options):
    """Measure milliseconds per sentence.

    Returns:
        `{"length": [[length, ms], ...], "depth": [[layers, ms], ...]}`.
    """
    _, step = preset_step(family, options.policy, num_layers=USUAL_DEPTH)
    lengths = alternate({length: (step, length) for length in LENGTHS}, options.turns)
    steps = {n: preset_step(family, options.policy, num_layers=n)[1] for n in DEPTHS}
    depths = alternate({n: (step, USUAL_LENGTH) for n, step in steps.items()}, options.turns)
    return {"length": list(lengths.items()), "depth": list(depths.items())}


def alternate(steps, turns):
    """Return the minimum of milliseconds per sentence of each (step, length), run alternately.

    Other work of the machine can only add to the minimum.
    """
    times = {name: [] for name in steps}
    for turn in range(turns + 1):
        for name, (step, length) in steps.items():
            batch = TOKENS // (2 * length)
            ids = random_ids(batch, length)
            start = time.perf_counter()
            step(*ids)
            if turn:  # the first turn compiles
                times[name].append(1e3 * (time.perf_counter() - start) / batch)
    return {name: min(values) for name, values in times.items()}


def cost_table(costs):
    """Return the table with both families side by side."""
    table = Table(title="Training: ms per sentence, and source and target tokens/s")
    table.add_column("")
    for family in costs:
        for column in ("ms", "tokens/s"):
            table.add_column(f"{family}, {column}", justify="right")
    for axis, label in (
        ("length", f"{USUAL_DEPTH} + {USUAL_DEPTH} layers, {{0}} + {{0}} tokens"),
        ("depth", f"{{0}} + {{0}} layers, {USUAL_LENGTH} + {USUAL_LENGTH} tokens"),
    ):
        for rows in zip(*(cost[axis] for cost in costs.values()), strict=True):
            cells = []
            for x, milliseconds in rows:
                tokens = 2 * (x if axis == "length" else USUAL_LENGTH)
                cells += [f"{milliseconds:.1f}", f"{1e3 * tokens / milliseconds:,.0f}"]
            table.add_row(label.format(rows[0][0]), *cells)
        table.add_section()
    return table


def plot(costs, path):
    """Draw ms per sentence by length and by depth, log-log, both families in each panel."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.8), layout="constrained", sharey=True)
    labels = {
        "length": f"tokens in source and in target ({USUAL_DEPTH} + {USUAL_DEPTH} layers)",
        "depth": f"layers in encoder and in decoder ({USUAL_LENGTH} + {USUAL_LENGTH} tokens)",
    }
    for panel, (axis, label) in zip(panels, labels.items(), strict=True):
        for (family, cost), marker in zip(costs.items(), "os", strict=True):
            panel.plot(*zip(*cost[axis], strict=True), marker=marker, label=family)
        panel.set(xscale="log", yscale="log", xlabel=label)
        for ruler in (panel.xaxis, panel.yaxis):
            ruler.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ruler.set_major_formatter(ScalarFormatter())
            ruler.set_minor_locator(NullLocator())
        panel.set_xticks([x for x, _ in next(iter(costs.values()))[axis]])
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("training, ms per sentence")
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
