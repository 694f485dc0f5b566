"""Drawing primitives for model diagrams: boxes, lines, text, a legend."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.textpath import TextPath

# The color-blind-safe palette of Okabe and Ito, https://jfly.uni-koeln.de/color: pale for boxes,
# full for lines.
FILLS = {
    "embedding": "#fbe3bd",
    "encoder": "#cfe6f5",
    "decoder": "#c5e8dc",
    "attention": "#f2d3e3",
    "norm": "#ececec",
    "output": "#fbf6bf",
    "other": "#ffffff",
}


INK = "#2b2b2b"


LINES = {
    "plain": (INK, "solid"),
    "tied": ("#777777", (0, (1, 1.6))),
    "memory": ("#a8527f", "solid"),
    "states": ("#0072b2", "solid"),
    "context": ("#d55e00", "solid"),
    "query": ("#008f68", "solid"),
    "feeding": (INK, (0, (3.5, 2))),
}


PANEL = "#fafafa"


# Bundled with matplotlib, so a drawing is the same on every machine.
FONT = "DejaVu Sans"


LEADING = 1.3  # line height, as a multiple of the font size


MARGIN = 8


RADIUS = 5  # of the circle that marks a sum


TIMES = "\N{MULTIPLICATION SIGN}"


class Drawing:
    """Boxes, lines and text on Axes measured in points (1/72 inch), with y pointing up.

    Args:
        model: Model to draw.
        ax: Axes to scale the drawing to; None creates Axes of the drawing's own size.
    """

    def __init__(self, model, ax):
        self.model = model
        self.config = model.get_config()
        self.has_own_figure = ax is None
        self.axes = Figure().add_axes((0, 0, 1, 1)) if ax is None else ax
        self.artists = []
        self.low, self.high = np.full(2, np.inf), np.full(2, -np.inf)
        self.legend = {}  # kind of line to its description

    def box(self, x, y, width, height, text=None, sub=None, *, fill=None, gid=None):
        """Draw a box centered at `(x, y)` with one or two lines of text; without text, a panel."""
        low = np.array((x - width / 2, y - height / 2))
        self._extend(low, (x + width / 2, y + height / 2))
        panel = text is None
        self._add(
            FancyBboxPatch(
                low,
                width,
                height,
                boxstyle=f"round,pad=0,rounding_size={7 if panel else 3}",
                facecolor=PANEL if panel else FILLS[fill],
                edgecolor="#cccccc" if panel else INK,
                linewidth=0.8,
                zorder=0 if panel else 5,
                gid=gid,
            )
        )
        if text is not None:
            self.text(x, y + (5.5 if sub else 0), text)
        if sub is not None:
            self.text(x, y - 6.5, sub, size=8)

    def text(self, x, y, text, size=9, align="center", weight="normal"):
        """Draw one or more lines of text, aligned to `(x, y)` as `align` specifies."""
        lines = text.split("\n")
        width = max(_width(line, size, weight) for line in lines)
        height = LEADING * size * len(lines)
        left = x - width * {"left": 0, "center": 0.5, "right": 1}[align]
        self._extend((left, y - height / 2), (left + width, y + height / 2))
        for i, line in enumerate(lines):
            # Aligned by the baseline, so that descenders do not shift a line.
            base = y + (len(lines) / 2 - i - 0.5) * LEADING * size - 0.36 * size
            options = {"ha": align, "va": "baseline", "size": size, "weight": weight}
            options |= {"family": FONT, "color": INK, "zorder": 7, "parse_math": False}
            self.artists.append(self.axes.text(x, base, line, **options))

    def line(self, *points, kind="plain", arrow=True, dot=False):
        """Draw a line through `points` with rounded corners; `dot` marks a branch point."""
        points = [np.array(point, float) for point in points]
        points = [p for i, p in enumerate(points) if i == 0 or np.any(p != points[i - 1])]
        self._extend(*points)
        colour, dashes = LINES[kind]
        level = 1 + list(LINES).index(kind) / 10
        if dot:
            self._add(Circle(points[0], 1.9, facecolor=colour, linewidth=0, zorder=4))
        if arrow:
            end = points[-1]
            direction = (end - points[-2]) / np.linalg.norm(end - points[-2])
            across = 2.4 * direction[::-1] * (1, -1)
            points[-1] = end - 4 * direction
            head = [end, end - 5.5 * direction + across, end - 5.5 * direction - across, end]
            self._add(PathPatch(Path(head, closed=True), facecolor=colour, linewidth=0, zorder=4))
        # A white rim below each kind of line interrupts the other kinds where they cross.
        rim = {"edgecolor": "white", "linewidth": 4, "zorder": level}
        line = {"edgecolor": colour, "linewidth": 1.1, "linestyle": dashes, "zorder": level + 0.05}
        for options in (rim, line):
            self._add(PathPatch(_rounded(points), fill=False, capstyle="butt", **options))

    def plus(self, x, y):
        """Draw a sum: a plus sign in a circle."""
        options = {"facecolor": "white", "edgecolor": INK, "linewidth": 0.9}
        self._add(Circle((x, y), RADIUS, **options, zorder=5))
        for end in ((3, 0), (0, 3)):
            stroke = Path([np.subtract((x, y), end), np.add((x, y), end)])
            self._add(PathPatch(stroke, **options, zorder=6))

    def heading(self, low, right):
        """Draw the model's name and the legend at the top left, above `low` and left of `right`.

        A name that is too long for that is placed above the whole drawing.
        """
        left = self.low[0]
        if left + _width(self.model.name, 11, "bold") > right:
            low = self.high[1] + 6
        top = max(self.high[1], low + 14 * len(self.legend) + 22)
        self.text(left, top - 7, self.model.name, 11, "left", "bold")
        for i, (kind, text) in enumerate(self.legend.items()):
            y = top - 26 - 14 * i
            self.line((left, y), (left + 22, y), kind=kind, arrow=kind != "tied")
            self.text(left + 28, y, text, 8, "left")

    def finish(self):
        """Set the limits and return the Axes."""
        low, high = self.low - MARGIN, self.high + MARGIN
        size = (high - low) / 72
        if self.has_own_figure:
            self.axes.figure.set_size_inches(size)
        else:
            available = self.axes.get_window_extent().size / self.axes.figure.dpi
            scale = (available / size).min()
            for artist in self.artists:
                if isinstance(artist, Text):
                    artist.set_fontsize(artist.get_fontsize() * scale)
                else:
                    artist.set_linewidth(artist.get_linewidth() * scale)
        self.axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
        self.axes.axis("off")
        return self.axes

    def tie(self, source, target_left, target_right, output, lane):
        """Join boxes that share an embedding table by dotted lines between the given points.

        `lane` is the x coordinate of the line from the target embedding to the output projection.
        """
        sharing = self.config["embeddings"]
        if sharing == "separate":
            return
        self.legend["tied"] = "shared weights"
        if sharing == "shared":
            self.line(source, target_left, kind="tied", arrow=False)
        corners = (lane, target_right[1]), (lane, output[1])
        self.line(target_right, *corners, output, kind="tied", arrow=False)

    def _add(self, patch):
        self.artists.append(self.axes.add_patch(patch))

    def _extend(self, *points):
        self.low = np.min([self.low, *points], axis=0)
        self.high = np.max([self.high, *points], axis=0)


def _width(text, size, weight):
    font = FontProperties(family=FONT, weight=weight)
    return TextPath((0, 0), text, size=size, prop=font).get_extents().width


def _rounded(points):
    """Return the path through `points` with rounded corners."""
    vertices, codes = [points[0]], [Path.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        sides = [end - corner for end in (before, after)]
        lengths = [np.linalg.norm(side) for side in sides]
        radius = min(4, *(length / 2 for length in lengths))
        start, end = (corner + radius * side / n for side, n in zip(sides, lengths, strict=True))
        vertices += [start, corner, end]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path([*vertices, points[-1]], [*codes, Path.LINETO])
