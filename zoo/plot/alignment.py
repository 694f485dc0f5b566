"""Plots of attention weights."""

from collections.abc import Sequence

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..checks import require

# Fallback order for each glyph, among the installed fonts. The first ones contain Hangul; the last,
# bundled with matplotlib, contains Latin letters and SentencePiece's U+2581.
FONTS = (
    "Noto Sans CJK KR",
    "Noto Sans KR",
    "NanumGothic",
    "Nanum Gothic",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "DejaVu Sans",
)


def plot_alignment(
    weights: np.typing.ArrayLike,
    source: Sequence[str],
    target: Sequence[str],
    *,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw attention weights as in Bahdanau et al. 2015 (https://arxiv.org/abs/1409.0473, figure 3).

    Columns are source tokens, rows are target tokens. A pixel is the attention weight of the source
    token when the target token was generated, from 0 (black) to 1 (white).

    Args:
        weights: Non-negative numbers `(target_length, source_length)`: one sentence of the attention
            weights that `model(inputs, return_attention=True)` returns.
        source: List of `source_length` strings, the source tokens.
        target: List of `target_length` strings, the generated tokens, without start, with end.
        ax: matplotlib Axes to draw on. Default: the Axes of a new `Figure`, sized for the tokens.
        title: Title above the plot. Default: none.

    Returns:
        The Axes. `ax.figure.savefig("alignment.png")` writes them to a file. Hangul needs an installed
        font that contains it, such as Nanum (`apt-get install fonts-nanum`).

    Raises:
        ValueError: `weights` has another shape, or contains a negative or non-finite number.

    Example:
        >>> from seq2lite.zoo import plot
        >>> ax = plot.plot_alignment([[0.9, 0.1], [0.2, 0.8]], ["▁Open", "</s>"], ["▁열기", "</s>"])
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['▁열기', '</s>']
    """
    weights = np.asarray(weights, dtype="float64")
    shape = (len(target), len(source))
    expected = f"of shape (target tokens, source tokens)={shape}"
    require(weights.shape == shape, expected, weights=weights)
    wrong = weights[~(np.isfinite(weights) & (weights >= 0))]
    if wrong.size:
        raise ValueError(f"`weights` must be finite and non-negative. Received: {wrong[0]:g}")

    if ax is None:
        # A third of an inch per token, plus an inch for the labels.
        height, width = (1 + n / 3 for n in shape)
        figure = Figure(figsize=(width, height), dpi=200, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
        ax = figure.add_subplot()
    ax.imshow(weights, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    installed = set(font_manager.get_font_names())
    fonts = [name for name in FONTS if name in installed]
    # Text between two dollar signs is a token here, not a formula.
    options = {"fontfamily": fonts, "fontsize": 9, "parse_math": False}
    ax.set_xticks(range(len(source)), source, rotation=90, **options)
    ax.set_yticks(range(len(target)), target, **options)
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=2)
    if title is not None:
        ax.set_title(title, **options)
    return ax
