"""Rendering of a report as Markdown and as a self-contained HTML page.

A report is a list of blocks, each a tuple of its kind and content:

| kind | content |
|---|---|
| `"heading"`, `"text"`, `"json"` | str |
| `"table"` | tuple of column names, list of rows, all of str |
| `"bars"` | title, unit of the texts, list of (label, value, text) |
"""

import html

_MARKDOWN = {"heading": "## {}", "text": "{}", "json": "```json\n{}\n```"}
_HTML = {
    "heading": "<h2>{}</h2>",
    "text": "<p>{}</p>",
    "json": "<details><summary>JSON</summary><pre>{}</pre></details>",
}


def to_markdown(title, blocks):
    """Render blocks as Markdown; bars become tables."""
    parts = [f"# {title}"]
    for kind, *content in blocks:
        if kind == "bars":
            name, unit, bars = content
            kind, content = "table", ((name, unit), [(label, text) for label, _, text in bars])
        is_table = kind == "table"
        parts.append(_markdown_table(*content) if is_table else _MARKDOWN[kind].format(*content))
    return "\n\n".join(parts) + "\n"


def _markdown_table(head, rows):
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def to_html(title, blocks):
    """Render blocks as one HTML page that refers to no other file."""
    parts = []
    for kind, *content in blocks:
        if kind in _HTML:
            parts.append(_HTML[kind].format(_text(content[0])))
        else:
            parts.append(_html_table(*content) if kind == "table" else _html_bars(*content))
    return _PAGE.format(title=_text(title), style=_STYLE, body="\n".join(parts))


def _text(text):
    return html.escape(text).replace("`", "")


def _html_table(head, rows):
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    names = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    top = f"<thead><tr>{names}</tr></thead>" if any(head) else ""
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def _html_bars(title, unit, bars):
    """Draw horizontal bars as an inline SVG, each below its label and text."""
    row, width = 34, 440
    maximum = max((value for _, value, _ in bars), default=0) or 1
    drawn = "".join(
        f'<text x="0" y="{row * i + 14}">{_text(label)}</text>'
        f'<text x="{width}" y="{row * i + 14}" text-anchor="end">{_text(text)}</text>'
        f'<rect x="0" y="{row * i + 19}" width="{width}" height="7" class="background"/>'
        f'<rect x="0" y="{row * i + 19}" width="{width * value / maximum:.1f}" height="7"/>'
        for i, (label, value, text) in enumerate(bars)
    )
    return (
        f"<figure><figcaption>{_text(title)}: {_text(unit)}</figcaption>"
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
.scroll { overflow-x: auto; margin: .5rem 0 1rem } table { border-collapse: collapse; font-size: .9rem }
td, th { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; font-variant-numeric: tabular-nums }
th { font-weight: 600; color: var(--soft) }
figure { margin: .5rem 0 1.5rem } figcaption { font-weight: 600; margin-bottom: .5rem }
svg { width: 100%; max-width: 34rem; height: auto } svg text { font: 13px system-ui, sans-serif; fill: var(--ink) }
rect { fill: var(--bar); print-color-adjust: exact; -webkit-print-color-adjust: exact }
rect.background { fill: var(--line) }
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
