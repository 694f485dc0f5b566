"""The report of a bundle: `report.md` and `report.html`."""

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from .measurement.measure import Measurements
from .page import to_html, to_markdown
from .quantization.modes import MODES, Tolerance
from .runtime.checks import quote
from .runtime.container import describe_search
from .verification.reference import Parity

NUM_OPS = 10  # with a bar of their own in a profile
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Report:
    """Everything that is known about an exported bundle, as in its report.md.

    Attributes:
        path: Path of the folder or zip.
        quantization: str, the quantization mode.
        search: dict of `num_beams`, 1 for greedy search, and `length_penalty`: the search of the bundle.
        num_parameters: int, of the Keras model.
        file_size: int, bytes of model.tflite.
        min_runtime: str, the minimum version of the TFLite runtime that has all ops of the file.
        formats: dict of weight name to its storage format.
        ops: dict of op name to its number in the file.
        parts: dict of purpose to bytes. See `measurement.size.size_by_part`.
        parity: `Parity`, the comparison with Keras.
        tolerance: `Tolerance` that `parity` is within.
        measurements: `Measurements` of speed and memory. None with `measure=False`.
        calibrated_on: str, the text that weights or activations were calibrated on. None if the
            mode needs none.
    """

    path: Path
    quantization: str
    search: dict
    num_parameters: int
    file_size: int
    min_runtime: str
    formats: dict
    ops: dict
    parts: dict
    parity: Parity
    tolerance: Tolerance
    measurements: Measurements | None
    calibrated_on: str | None

    @property
    def tokens_per_second(self):
        """Speed of the file on held-out text, batch 1, one thread; None if not measured."""
        return self.measurements and self.measurements.tokens_per_second

    @property
    def keras_tokens_per_second(self):
        """Speed of the same graph in TensorFlow, batch 1, one thread; None if not measured."""
        return self.measurements and self.measurements.keras_tokens_per_second


def report_parts(report, reports=()):
    """Render a report as the files of a bundle.

    Args:
        report: The `Report`.
        reports: `Report`s of all quantization modes of the same conversion, for a comparison.

    Returns:
        dict of `report.md` and `report.html` to bytes.
    """
    blocks = list(_blocks(report, list(reports)))
    return {
        "report.md": to_markdown(report.path.name, blocks).encode(),
        "report.html": to_html(report.path.name, blocks).encode(),
    }


def _blocks(report, reports):
    """The blocks of a report, as `page` renders them."""
    yield from _overview(report)
    if len(reports) > 1:
        yield "heading", "Quantization modes of this conversion"
        yield _table([_compared(report) for report in reports])
    yield "heading", "Size"
    parts = {part: size for part, size in report.parts.items() if size}
    yield (
        "bars",
        "part of model.tflite",
        "bytes (share)",
        [(part, size, f"{size:,} ({size / report.file_size:.1%})") for part, size in parts.items()],
    )
    yield "heading", "Parity with Keras"
    yield from _parity(report)
    measured = report.measurements
    if measured is None:
        yield "heading", "Speed, memory and profile"
        yield "text", "Not measured: the bundle was exported with `measure=False`."
    else:
        yield "heading", "Speed"
        yield from _speed(measured)
        yield "heading", "Memory"
        yield from _memory(measured, report.file_size)
        yield "heading", "Profile"
        yield from _profiles(measured)
    yield "heading", "Ops"
    ops = ", ".join(f"{name} {count}" for name, count in report.ops.items())
    yield "text", f"{sum(report.ops.values()):,} built-in ops: {ops}."
    yield "json", json.dumps(asdict(report.parity), ensure_ascii=False, indent=1)


def _overview(report):
    formats = Counter(report.formats.values()).most_common()
    per_parameter = f"{report.file_size / report.num_parameters:.3f} per parameter"
    rows = [
        ("quantization mode", report.quantization),
        ("search", describe_search(**report.search)),
        ("weight matrices", ", ".join(f"{count} in {name}" for name, count in formats)),
        ("parameters", f"{report.num_parameters:,}"),
        ("model.tflite", f"{report.file_size:,} bytes, {per_parameter}"),
        ("minimum TFLite runtime", report.min_runtime),
        ("calibrated on", report.calibrated_on),
    ]
    yield "table", ("", ""), [(name, value) for name, value in rows if value]


def _table(rows):
    """A table of rows that are dicts of column to text."""
    return "table", tuple(rows[0]), [tuple(row.values()) for row in rows]


def _compared(report):
    measured, parity = report.measurements, report.parity
    return {
        "mode": report.quantization,
        "size, bytes": f"{report.file_size:,}",
        "bytes per parameter": f"{report.file_size / report.num_parameters:.3f}",
        "minimum runtime": report.min_runtime,
        "steps equal to Keras": f"{parity.token_agreement:.1%}",
        "beams": str(report.search["num_beams"]),
        "chrF": f"{parity.file_chrf:.2f}",
        "BLEU": f"{parity.file_bleu:.2f}",
        "speed, tokens/s": f"{measured.tokens_per_second:,.0f}" if measured else NOT_MEASURED,
        "resident memory, MB": (
            f"{measured.memory['mapped']['resident'] / 1e6:.1f}" if measured else NOT_MEASURED
        ),
    }


def _parity(report):
    parity, tolerance = report.parity, report.tolerance
    yield (
        "text",
        f"{parity.num_sentences:,} held-out sentences, decoded by {describe_search(**report.search)}. "
        f"The logits of {parity.num_steps:,} decoding steps are compared.",
    )
    rows = {
        "maximum logit error": (f"{parity.max_logit_error:.3g}", ""),
        "maximum logit error, relative to the maximum logit": (
            f"{parity.relative_logit_error:.3g}",
            f"at most {tolerance.logit_error:.3g}",
        ),
        "steps with the same most probable token": (
            f"{parity.token_agreement:.2%}",
            f"at least {tolerance.token_agreement:.2%}",
        ),
        _search_measure(report): (
            "not applicable"
            if parity.search_agreement is None
            else f"{parity.search_agreement:.2%}",
            f"at least {tolerance.search_agreement:.2%}",
        ),
        "sentences with the same output": (f"{parity.same_outputs:.2%}", ""),
    }
    yield "table", ("", "measured", "allowed"), [(name, *row) for name, row in rows.items()]
    allowed = f"{tolerance.chrf_difference:.2f}"
    yield (
        "table",
        ("score", "Keras", "this file", "allowed difference"),
        [
            ("chrF", f"{parity.keras_chrf:.2f}", f"{parity.file_chrf:.2f}", allowed),
            ("BLEU", f"{parity.keras_bleu:.2f}", f"{parity.file_bleu:.2f}", ""),
        ],
    )
    yield (
        "text",
        f"SacreBLEU signatures: chrF {parity.chrf_signature}, BLEU {parity.bleu_signature}.",
    )
    yield (
        "text",
        f"The maximum logit error occurs at step {parity.worst_step} of {quote(parity.worst_source)}.",
    )


def _search_measure(report):
    if MODES[report.quantization].is_static:
        return "sentences of equal steps for which greedy search over the file equals that of Keras"
    return "sentences for which the search in the file equals the same search over its steps"


def _speed(measured):
    yield (
        "text",
        "Greedy search on one thread of the machine that exported the file. Keras is the same graph "
        "in TensorFlow, as a function of a SavedModel. Held-out text, one sentence at a time: "
        f"{measured.tokens_per_second:,.0f} tokens/s, Keras "
        f"{measured.keras_tokens_per_second:,.0f} tokens/s. The table has fixed numbers of tokens, "
        f"decoded without an end token from a source of {measured.source_length} tokens.",
    )
    yield _table(
        [
            {
                "batch": str(cell["batch"]),
                "length, tokens": str(cell["length"]),
                "time, ms": f"{1e3 * cell['seconds']:.2f}",
                "speed, tokens/s": f"{cell['tokens_per_second']:,.0f}",
                "Keras, tokens/s": f"{cell['keras_tokens_per_second']:,.0f}",
                "speedup": f"{cell['tokens_per_second'] / cell['keras_tokens_per_second']:.1f}x",
            }
            for cell in measured.grid
        ]
    )


def _memory(measured, file_size):
    yield (
        "text",
        "A new process opens the file and runs `generate` once. The runtime maps the file, or gets "
        "bytes that the process has read, as `export.load` does. Memory is the increase of the "
        "process, including the runtime itself. File pages belong to the file and the runtime: the "
        "system can drop them.",
    )
    yield _table(
        [
            {
                "file": how,
                "load, ms": f"{1e3 * found['load_seconds']:.1f}",
                "first run, ms": f"{1e3 * found['first_run_seconds']:.1f}",
                "resident, MB": f"{found['resident'] / 1e6:.1f}",
                "file pages, MB": f"{found['mapped'] / 1e6:.1f}",
                "peak, MB": f"{found['peak'] / 1e6:.1f}",
                "resident / file size": f"{found['resident'] / file_size:.2f}",
            }
            for how, found in measured.memory.items()
        ]
    )


def _profiles(measured):
    yield (
        "text",
        f"Batch 1, one thread, a source of {measured.source_length} tokens. The Python interpreter "
        "has no profiler. Each op is therefore timed alone, with the tensors of its graph, once and "
        "five times in a file. A quarter of the difference is its time. “Overhead” is the rest of "
        "the time of the whole graph, such as shapes that are computed at every run, and cache "
        "misses.",
    )
    for signature, profile in measured.profile.items():
        yield _profile(signature, profile)


def _profile(signature, profile):
    """Bars of the slowest ops of a signature, of the other ops together, and of the overhead."""
    seconds, counts = defaultdict(float), defaultdict(int)
    for name, time in profile["ops"]:
        seconds[name] += time
        counts[name] += 1
    names = sorted(seconds, key=lambda name: -seconds[name])
    bars = [(f"{name} ({counts[name]})", seconds[name]) for name in names[:NUM_OPS]]
    if others := names[NUM_OPS:]:
        count = sum(counts[name] for name in others)
        bars.append((f"other ops ({count})", sum(seconds[name] for name in others)))
    whole, of_ops = profile["whole"], sum(seconds.values())
    bars.append(("overhead", max(0.0, whole - of_ops)))
    total = max(whole, of_ops)
    return (
        "bars",
        f"`{signature}`, {1e6 * whole:.0f} µs in all",
        "µs (share)",
        [(label, time, f"{1e6 * time:.1f} ({time / total:.0%})") for label, time in bars],
    )
