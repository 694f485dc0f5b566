"""Pictures: where a decoder looked, and what a model is made of.

The only module of the zoo that needs matplotlib, so `import seq2lite.zoo` leaves it alone:

    from seq2lite.zoo import plot
"""

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure

# Of tokens: those that are installed, in this order, glyph by glyph. Hangul comes with the first
# ones; SentencePiece's U+2581 and everything Latin with the last, which is matplotlib's own.
FONTS = (
    "Noto Sans CJK KR",
    "Noto Sans KR",
    "NanumGothic",
    "Nanum Gothic",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "DejaVu Sans",
)


def plot_alignment(weights, source, target, *, ax=None, title=None):
    """Draws attention weights as Bahdanau et al. 2015 do (https://arxiv.org/abs/1409.0473, figure 3).

    Source tokens stand along the top, target tokens down the left; a pixel is the weight that the
    decoder gave to a source token as it chose a target token, from 0 (black) to 1 (white).

    Args:
        weights: Numbers `(target_length, source_length)`, none of them negative: one sentence's
            part of what `model(inputs, return_attention=True)` gives second.
        source: `source_length` strings.
        target: `target_length` strings, the tokens chosen: without start, with end.
        ax: matplotlib Axes to draw on. Default: those of a new `Figure`, sized for the tokens.
        title: What stands over it. Default: nothing.

    Returns:
        The Axes; `ax.figure.savefig("alignment.png")` writes them. Hangul needs one of `FONTS` that
        has it, such as Nanum's (`apt-get install fonts-nanum`).

    Raises:
        ValueError: `weights` are of another shape, or one of them is negative or not finite.

    Example:
        >>> from seq2lite.zoo import plot
        >>> ax = plot.plot_alignment([[0.9, 0.1], [0.2, 0.8]], ["▁Open", "</s>"], ["▁열기", "</s>"])
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['▁열기', '</s>']
    """
    weights = np.asarray(weights, dtype="float64")
    shape = (len(target), len(source))
    if weights.shape != shape:
        raise ValueError(
            f"`weights` must be of shape (target tokens, source tokens)={shape}. "
            f"Received: shape={weights.shape}"
        )
    wrong = weights[~(np.isfinite(weights) & (weights >= 0))]
    if wrong.size:
        raise ValueError(
            f"`weights` must be finite numbers of 0 or more. Received: {wrong[0]:g}, the first of "
            f"{wrong.size} that are not"
        )

    if ax is None:
        # A third of an inch a token, and room for the longest label of each side.
        height, width = (1 + n / 3 for n in shape)
        figure = Figure(figsize=(width, height), dpi=200, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
        ax = figure.add_subplot()
    ax.imshow(weights, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    installed = set(font_manager.get_font_names())
    fonts = [name for name in FONTS if name in installed]
    # A token between two dollar signs is no formula.
    options = {"fontfamily": fonts, "fontsize": 9, "parse_math": False}
    ax.set_xticks(range(len(source)), source, rotation=90, **options)
    ax.set_yticks(range(len(target)), target, **options)
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=2)
    if title is not None:
        ax.set_title(title, **options)
    return ax
