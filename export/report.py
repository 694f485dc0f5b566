"""report.md and report.html: what was measured of a bundle, for people."""

import html
import json
from collections import Counter, defaultdict
from dataclasses import asdict

NUM_OPS = 10  # that have a bar of their own in a profile


_WHAT_A_PROFILE_IS = (
    "The runtime tells no times from inside, so each op was run by itself, with the tensors it has in "
    "its graph, five times in one file and once in another; a fourth of the difference is its time. "
    "“Together” is what the whole graph takes beyond that: sizes worked out anew, caches."
)


def report_parts(report, tolerance, reports=()):
    """A `Report` as the files of a bundle: `report.md` and `report.html`, name to bytes.

    Args:
        report: What `to_bundle` measured.
        tolerance: The `Tolerance` that its parity was held against.
        reports: The `Report`s of all quantizations of the same conversion, to compare.
    """
    blocks = list(_blocks(report, tolerance, reports))
    return {
        "report.md": to_markdown(report.path.name, blocks).encode(),
        "report.html": to_html(report.path.name, blocks).encode(),
    }


def _blocks(report, tolerance, reports):
    """The report as (kind, content...): a heading, a text, a table, bars or JSON."""
    measured = report.measurements
    formats = Counter(report.formats.values()).most_common()
    yield _table(
        ("", ""),
        ("quantization", report.quantization),
        ("matrices", ", ".join(f"{count} in {name}" for name, count in formats)),
        ("parameters", f"{report.num_parameters:,}"),
        (
            "model.tflite",
            f"{report.file_size:,} bytes, {report.file_size / report.num_parameters:.3f} a parameter",
        ),
        ("least TFLite runtime", report.min_runtime),
        *([("calibrated on", report.calibrated_on)] if report.calibrated_on else []),
    )
    if len(reports) > 1:
        yield "heading", "All quantizations of this conversion"
        yield _comparison(reports)
    yield "heading", "Size"
    parts = {part: size for part, size in report.parts.items() if size}
    yield (
        "bars",
        "Bytes of model.tflite by what they are for",
        [(part, size, f"{size:,} ({size / report.file_size:.1%})") for part, size in parts.items()],
    )
    yield "heading", "Parity with Keras"
    yield from _parity(report.parity, tolerance)
    yield "heading", "Speed"
    yield from _speed(measured)
    yield "heading", "Memory"
    yield from _memory(measured, report.file_size)
    yield "heading", "Profile"
    yield (
        "text",
        f"Batch 1, one thread, a source of {measured.source_length} tokens. {_WHAT_A_PROFILE_IS}",
    )
    for signature, profile in measured.profile.items():
        yield _profile(signature, profile)
    yield "heading", "Ops"
    ops = ", ".join(f"{name} {count}" for name, count in report.ops.items())
    yield "text", f"{sum(report.ops.values())} built-in ops: {ops}."
    yield "json", json.dumps(asdict(report.parity), ensure_ascii=False, indent=1)


def _comparison(reports):
    names = (
        "bytes",
        "a parameter",
        "least runtime",
        "Keras's token",
        "chrF",
        "BLEU",
        "tokens/s",
        "MB",
    )
    return _table(
        ("", *names),
        *(
            (
                report.quantization,
                f"{report.file_size:,}",
                f"{report.file_size / report.num_parameters:.3f}",
                report.min_runtime,
                f"{report.parity.token_agreement:.1%}",
                f"{report.parity.file_chrf:.2f}",
                f"{report.parity.file_bleu:.2f}",
                f"{report.tokens_per_second:.0f}",
                f"{report.measurements.memory['mapped']['resident'] / 1e6:.1f}",
            )
            for report in reports
        ),
    )


def _table(*rows):
    return "table", rows[0], rows[1:]


def _parity(parity, tolerance):
    yield (
        "text",
        f"{parity.num_sentences} held-out sentences; {parity.num_steps} steps compared logit by logit.",
    )
    yield _table(
        ("", "measured", "allowed"),
        ("greatest logit error", f"{parity.max_logit_error:.3g}", ""),
        (
            "as a part of the greatest logit",
            f"{parity.relative_logit_error:.3g}",
            f"{tolerance.logit_error:.3g}",
        ),
        (
            "steps that choose Keras's token",
            f"{parity.token_agreement:.2%}",
            f"{tolerance.token_agreement:.2%}",
        ),
        (
            "of sentences whose every step does, those that `generate` gives so",
            f"{parity.generate_agreement:.2%}",
            f"{tolerance.generate_agreement:.2%}",
        ),
        ("sentences with equal output", f"{parity.same_outputs:.2%}", ""),
    )
    yield _table(
        ("", "Keras", "this file", "allowed"),
        (
            "chrF",
            f"{parity.keras_chrf:.2f}",
            f"{parity.file_chrf:.2f}",
            f"± {tolerance.chrf_difference}",
        ),
        (
            "BLEU",
            f"{parity.keras_bleu:.2f}",
            f"{parity.file_bleu:.2f}",
            "",
        ),
    )
    yield (
        "text",
        f"SacreBLEU's signatures: chrF {parity.chrf_signature}; BLEU {parity.bleu_signature}.",
    )
    yield "text", f"The logits differ most at {parity.worst}."


def _speed(measured):
    yield (
        "text",
        "Greedy search, one thread, on the machine that exported it; Keras is the same graph in "
        "TensorFlow (a SavedModel's function). On held-out text, a sentence at a time: "
        f"{measured.tokens_per_second:.0f} tokens a second; Keras: "
        f"{measured.keras_tokens_per_second:.0f}. For a fixed number of tokens (no token counts as "
        f"the end), from a source of {measured.source_length}:",
    )
    yield _table(
        ("batch", "tokens", "ms", "tokens a second", "Keras", "ratio"),
        *(
            (
                str(cell["batch"]),
                str(cell["length"]),
                f"{1e3 * cell['seconds']:.3g}",
                f"{cell['tokens_per_second']:.0f}",
                f"{cell['keras_tokens_per_second']:.0f}",
                f"{cell['tokens_per_second'] / cell['keras_tokens_per_second']:.1f}",
            )
            for cell in measured.grid
        ),
    )


def _memory(measured, file_size):
    yield (
        "text",
        "A new process opens the file and runs `generate` once, by the runtime's mapping the file or "
        "from bytes that it has read, as `export.load` does. Memory is what it gained, the runtime's own "
        "included. “Of files” are pages of the file and of the runtime, which the system can drop.",
    )
    yield _table(
        (
            "",
            "load, ms",
            "first run, ms",
            "resident, MB",
            "of files, MB",
            "peak, MB",
            "of the file",
        ),
        *(
            (
                how,
                f"{1e3 * found['load_seconds']:.1f}",
                f"{1e3 * found['first_run_seconds']:.1f}",
                *(f"{found[name] / 1e6:.1f}" for name in ("resident", "mapped", "peak")),
                f"{found['resident'] / file_size:.2f} x",
            )
            for how, found in measured.memory.items()
        ),
    )


def _profile(signature, profile):
    """Bars of a signature's profile: the ops that take most, the others, their being together."""
    seconds, counts = defaultdict(float), defaultdict(int)
    for name, time in profile["ops"]:
        seconds[name] += time
        counts[name] += 1
    names = sorted(seconds, key=lambda name: -seconds[name])
    bars = [(f"{name} ({counts[name]})", seconds[name]) for name in names[:NUM_OPS]]
    others = names[NUM_OPS:]
    if others:
        count = sum(counts[name] for name in others)
        bars.append((f"other ops ({count})", sum(seconds[name] for name in others)))
    whole = profile["whole"]
    bars.append(("together", max(0.0, whole - sum(seconds.values()))))
    total = max(whole, sum(seconds.values()))
    return (
        "bars",
        f"{signature}: {1e6 * whole:.0f} µs",
        [(label, time, f"{1e6 * time:.1f} µs ({time / total:.0%})") for label, time in bars],
    )


def to_markdown(title, blocks):
    """The blocks of a report as Markdown; bars become tables."""
    lines = [f"# {title}", ""]
    for kind, *content in blocks:
        if kind == "heading":
            lines += [f"## {content[0]}", ""]
        elif kind == "text":
            lines += [content[0], ""]
        elif kind == "table":
            lines += _markdown_table(*content)
        elif kind == "bars":
            title, bars = content
            lines += _markdown_table((title, ""), [(label, text) for label, _, text in bars])
        else:
            lines += ["```json", content[0], "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_table(head, rows):
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return [lines[0], "|" + "---|" * len(head), *lines[1:], ""]


def to_html(title, blocks):
    """The blocks of a report as one HTML page that needs no other file."""
    parts = []
    for kind, *content in blocks:
        if kind == "heading":
            parts.append(f"<h2>{_text(content[0])}</h2>")
        elif kind == "text":
            parts.append(f"<p>{_text(content[0])}</p>")
        elif kind == "table":
            parts.append(_html_table(*content))
        elif kind == "bars":
            parts.append(_html_bars(*content))
        else:
            parts.append(
                f"<details><summary>JSON</summary><pre>{_text(content[0])}</pre></details>"
            )
    return _PAGE.format(title=_text(title), style=_STYLE, body="\n".join(parts))


def _text(text):
    return html.escape(text).replace("`", "")


def _html_table(head, rows):
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    names = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    top = f"<thead><tr>{names}</tr></thead>" if any(head) else ""
    return f'<div class="wide"><table>{top}<tbody>{body}</tbody></table></div>'


def _html_bars(title, bars):
    """Horizontal bars as an inline SVG: a row of text, and the bar below it."""
    row, width = 34, 440
    greatest = max((value for _, value, _ in bars), default=0) or 1
    drawn = "".join(
        f'<text x="0" y="{row * i + 14}">{_text(label)}</text>'
        f'<text x="{width}" y="{row * i + 14}" text-anchor="end">{_text(text)}</text>'
        f'<rect x="0" y="{row * i + 19}" width="{width}" height="7" class="ground"/>'
        f'<rect x="0" y="{row * i + 19}" width="{width * value / greatest:.1f}" height="7"/>'
        for i, (label, value, text) in enumerate(bars)
    )
    return (
        f"<figure><figcaption>{_text(title)}</figcaption>"
        f'<svg viewBox="0 0 {width} {row * len(bars)}" role="img" aria-label="{_text(title)}">'
        f"{drawn}</svg></figure>"
    )


_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --soft: #666; --line: #ddd; --bar: #2f6fab; --page: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --soft: #a0a0a0; --line: #3a3a3a; --bar: #6aa5dc; --page: #161616 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 44rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem }
.wide { overflow-x: auto; margin: .5rem 0 1rem } table { border-collapse: collapse; font-size: .9rem }
td, th { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; font-variant-numeric: tabular-nums }
th { font-weight: 600; color: var(--soft) }
figure { margin: .5rem 0 1.5rem } figcaption { font-weight: 600; margin-bottom: .5rem }
svg { width: 100%; max-width: 34rem; height: auto } svg text { font: 13px system-ui, sans-serif; fill: var(--ink) }
rect { fill: var(--bar); print-color-adjust: exact; -webkit-print-color-adjust: exact }
rect.ground { fill: var(--line) }
p { overflow-wrap: anywhere } pre { white-space: pre-wrap; font-size: .8rem }
@media print { :root { --ink: #000; --soft: #444; --line: #ccc; --bar: #2f6fab; --page: #fff }
  body { max-width: none; font-size: 10pt } figure, tr { break-inside: avoid } h2 { break-after: avoid } }
"""


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""
