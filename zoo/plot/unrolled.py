"""Two stacks of recurrent layers, unrolled over three steps: the layout of an RNN's drawing."""

from collections import namedtuple

from .canvas import RADIUS, TIMES, Drawing

MAX_ROWS = 4  # stacks of more layers are drawn with equal layers joined into one row
CELL_NAMES = {"lstm": "LSTM", "gru": "GRU", "gru_reset_before": "GRU"}
PITCH = {"encoder": 76, "decoder": 96}  # distance between columns
QUERIES_BEFORE_STEP = ("previous", "bottom")  # attention queries taken from a state before the step


class UnrolledStacks(Drawing):
    """An encoder and a decoder, one row per layer (or per run of equal layers), one column per step."""

    HALF = 42  # from the center of a stack's outer columns to the edge of its panels
    CELL = 22  # height of a cell
    BELOW = 15  # from a cell's bottom edge down to the bend of the lines that enter it

    def _has_residual(self, layer):
        start = self.model.residual_start
        return start is not None and layer + 1 >= start

    def _place_rows(self):
        """Set the y coordinates of each row: `bottoms`, `middles` (of a decoder's cells), `tops`.

        Both stacks share them, so that most states cross horizontally. Attention has a row of its
        own: `bus` is the y coordinate of its memory line, `attention` that of its boxes.
        """
        query = self.model.query
        y = 24 + 32
        self.bus = None
        if query in QUERIES_BEFORE_STEP:
            self.bus, y = 40, 102
        elif self.model.has_fixed_context:
            self.bus, y = 40, 68
        self.bottoms, self.middles, self.tops = [], [], []
        for i in range(max(map(len, self.rows.values()))):
            rows = [rows[i] for rows in self.rows.values() if i < len(rows)]
            height = self.CELL + 30 * any(row.num_directions == 2 for row in rows)
            self.bottoms.append(y)
            self.middles.append(y + height / 2)
            y += height + 26 * any(row.has_residual for row in rows)
            self.tops.append(y)
            y += 40
        if query == "current":
            self.bus = self.tops[len(self.rows["decoder"]) - 1] + 20
        self.attention = None if query is None else self.bus + 12 + 10

    def _row(self, kind, layer):
        return next(i for i, row in enumerate(self.rows[kind]) if layer <= row.last)

    def _last_state(self, row):
        """Return the x coordinate at which an encoder row's final state leaves it."""
        both = self.rows["encoder"][row].num_directions == 2
        return self.columns["encoder"][-1] + (self.HALF if both else 18)

    def _link(self, outputs, inputs, y):
        """Join all outputs of a row to all inputs of the next, at height `y`."""
        for x, start in outputs:
            for foot, end in inputs:
                self.line((x, start), (x, y), (foot, y), (foot, end))

    def _residual(self, x, outputs, row, lane):
        """Draw a residual connection around a row at `x`; return the point above its sum."""
        y, below = self.tops[row] - RADIUS, self.bottoms[row] - self.BELOW
        corners = (x + lane, below), (x + lane, y)
        self.line((x, below), *corners, (x + RADIUS, y), dot=True)
        self._link(outputs, [(x, y)], y - RADIUS - 6)
        self.plus(x, y)
        return x, y + RADIUS

    def _embedding(self, kind, table, tokens, caption):
        """Draw a stack's embedding and its three input tokens."""
        text = {"encoder": "Source embedding", "decoder": "Target embedding"}[kind]
        text += f", {table.input_dim:,} {TIMES} {table.output_dim:,}"
        if self.model.scale_embeddings:
            text += f", times √{table.output_dim}"
        left, right = self._wide_box(kind, 12, text, "embedding")
        for x, token in zip(self.columns[kind], tokens, strict=True):
            self.text(x, -23, token)
            self.line((x, -15), (x, 0))
        self.text((left + right) / 2, -38, caption, 8)

    def _wide_box(self, kind, y, text, fill):
        """Draw a box across all columns; return the x coordinates of its edges."""
        left, right = self.columns[kind][0] - self.HALF, self.columns[kind][-1] + self.HALF
        self.box((left + right) / 2, y, right - left, 24, text, fill=fill)
        return left, right

    def _panel(self, kind, i, lines):
        """Draw the panel behind a row and its caption."""
        row, columns = self.rows[kind][i], self.columns[kind]
        left, right = columns[0] - self.HALF, columns[-1] + self.HALF
        bottom, top = self.bottoms[i] - 9, self.tops[i] + 9
        y = (bottom + top) / 2
        gid = f"{kind}_layer_{row.first + 1}"
        self.box((left + right) / 2, y, right - left, top - bottom, gid=gid)
        title = f"layer {row.first + 1}"
        if row.last > row.first:
            count = row.last - row.first + 1
            title = f"layers {row.first + 1} to {row.last + 1} ({TIMES} {count})"
        text = "\n".join([title, *lines, *["residual"] * row.has_residual])
        x, align = (left - 8, "right") if kind == "encoder" else (right + 17, "left")
        self.text(x, y, text, 8, align)


# Layers `first` to `last` of a stack, their number of directions, whether they have a residual.
Row = namedtuple("Row", ["first", "last", "num_directions", "has_residual"])


def grouped(kinds):
    """Group layers, given as `(num_directions, has_residual)`, into rows.

    Each layer has a row of its own in a stack of at most MAX_ROWS layers. In a deeper stack equal
    neighbors share a row, except the first layer, which reads embeddings.
    """
    rows = []
    for i, kind in enumerate(kinds):
        if len(kinds) > MAX_ROWS and i > 1 and rows[-1][2:] == kind:
            rows[-1] = rows[-1]._replace(last=i)
        else:
            rows.append(Row(i, i, *kind))
    return rows
