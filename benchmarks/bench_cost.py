"""Training time per sentence by length and by depth, for both families.

    python benchmarks/bench_cost.py                     # the table
    python benchmarks/bench_cost.py --plot cost.png     # the table and its figure

The presets of `bench_training.py`, trained on batches of 4,096 source and target tokens. Batches of
longer sentences therefore have fewer sentences.
"""

import argparse
import json
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench_training import PRESETS, preset_step, random_ids
from timing import alternating_times

TOKENS, DEFAULT_LENGTH, DEFAULT_DEPTH = 4096, 32, 4
LENGTHS = (16, 32, 64, 128, 256, 512)
DEPTHS = (1, 2, 4, 8)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--policy", default="float32", help="dtype policy of Keras (default: float32)"
    )
    parser.add_argument("--turns", type=int, default=5, help="timed steps of each (default: 5)")
    parser.add_argument("--plot", metavar="PNG", help="also draw the figure into this file")
    parser.add_argument(
        "--json",
        metavar="FILE",
        type=Path,
        help="read the measurements from this file if it exists, otherwise save them in it",
    )
    options = parser.parse_args()
    if options.json and options.json.exists():
        costs = json.loads(options.json.read_text())
    else:
        costs = {family: measure(family, options) for family in PRESETS}
        if options.json:
            options.json.write_text(json.dumps(costs))
    Console(width=120).print(cost_table(costs))
    if options.plot:
        plot(costs, options.plot)


def measure(family, options):
    """Measure ms per sentence: `{"length": [[length, ms], ...], "depth": [[layers, ms], ...]}`."""
    _, step = preset_step(family, options.policy, num_layers=DEFAULT_DEPTH)
    lengths = step_costs({length: (step, length) for length in LENGTHS}, options.turns)
    steps = {n: preset_step(family, options.policy, num_layers=n)[1] for n in DEPTHS}
    depths = step_costs({n: (step, DEFAULT_LENGTH) for n, step in steps.items()}, options.turns)
    return {"length": list(lengths.items()), "depth": list(depths.items())}


def step_costs(steps, turns):
    """Return the minimum ms per sentence of each (step, length).

    The minimum, because other processes can only add to a time.
    """
    batches = {name: TOKENS // (2 * length) for name, (_, length) in steps.items()}
    calls = {
        name: partial(step, *random_ids(batches[name], length))
        for name, (step, length) in steps.items()
    }
    times = alternating_times(calls, [()] * turns)
    return {name: 1e3 * min(seconds) / batches[name] for name, seconds in times.items()}


def cost_table(costs):
    """Return a table with both families side by side."""
    table = Table(title="Training: ms per sentence, and source and target tokens/s")
    table.add_column("layers")
    table.add_column("tokens")
    for family in costs:
        for column in ("ms per sentence", "tokens/s"):
            table.add_column(f"{family}, {column}", justify="right")
    for axis in ("length", "depth"):
        for rows in zip(*(cost[axis] for cost in costs.values()), strict=True):
            x = rows[0][0]
            depth, length = (DEFAULT_DEPTH, x) if axis == "length" else (x, DEFAULT_LENGTH)
            cells = [f"{depth} + {depth}", f"{length} + {length}"]
            for _, milliseconds in rows:
                cells += [f"{milliseconds:.1f}", f"{1e3 * 2 * length / milliseconds:,.0f}"]
            table.add_row(*cells)
        table.add_section()
    return table


def plot(costs, path):
    """Draw ms per sentence by length and by depth on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.8), layout="constrained", sharey=True)
    labels = {
        "length": f"source tokens = target tokens ({DEFAULT_DEPTH} + {DEFAULT_DEPTH} layers)",
        "depth": f"encoder layers = decoder layers ({DEFAULT_LENGTH} + {DEFAULT_LENGTH} tokens)",
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
    panels[0].set_ylabel("ms per sentence, training")
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
