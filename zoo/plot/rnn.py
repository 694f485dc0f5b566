"""The picture of an RNN Seq2Seq. See `plot.py`."""

from collections import namedtuple

from .canvas import RADIUS, TIMES, Picture

BEFORE = ("previous", "bottom")  # queries of a state before the step


MOST_ROWS = 4  # of an RNN's layers drawn one by one


CELL_NAMES = {"lstm": "LSTM", "gru": "GRU", "gru_reset_before": "GRU"}


PITCH = {"encoder": 76, "decoder": 96}  # between columns


SCORE_TEXTS = {
    "additive": "v tanh(W q + U m)",
    "dot": "q m",
    "general": "q W m",
    "concat": "v tanh(W [q; m])",
}


class RNNPicture(Picture):
    """Both stacks unrolled over three steps, in rows of one layer or of some equal ones."""

    HALF = 42  # from the middle of a stack's outer columns to the edge of its panels
    CELL = 22  # height
    BELOW = 15  # from a cell's bottom down to where lines turn

    def draw(self):
        model, config = self.model, self.config
        self.name = CELL_NAMES[config["cell"]]
        self.has_context = config["attention"] is not None
        self.rows = {
            "encoder": _rows([(len(d), self._adds(i)) for i, d in enumerate(model.encoder)]),
            "decoder": _rows([(1, self._adds(i)) for i in range(len(model.decoder))]),
        }
        # From the encoder to the decoder: a lane down for what attention reads, lanes for states,
        # what bridges them, a lane down for the first query.
        edge = 2 * PITCH["encoder"] + self.HALF
        self.memory_lane, self.state_lane = edge + 10, edge + 20
        self.bridge = edge + (30 if config["bridge"] == "copy" else 62)
        self.query_lane = self.bridge + (18 if config["bridge"] == "copy" else 30)
        starts = {"encoder": 0, "decoder": self.query_lane + 51}
        self.columns = {
            kind: [start + step * PITCH[kind] for step in range(3)]
            for kind, start in starts.items()
        }
        self._place_rows()
        self._bridge()
        self._encoder()
        self._decoder()
        low = self.tops[len(self.rows["encoder"]) - 1] + 32
        self.heading(low, self.columns["decoder"][0] - self.HALF)
        return self.finish()

    def _adds(self, layer):
        start = self.model.residual_start
        return start is not None and layer + 1 >= start

    def _place_rows(self):
        """Sets each row's `bottoms`, `middles` (of a decoder's cells) and `tops`.

        Both stacks have the same, so that most states go straight over. Attention stands in a row
        between: `bus` is y of the line that brings what it reads, `attention` that of its boxes.
        """
        query = self.model.query
        y = 24 + 32
        self.bus = None
        if query in BEFORE:
            self.bus, y = 40, 102
        elif self.model.has_fixed_context:
            self.bus, y = 40, 68
        self.bottoms, self.middles, self.tops = [], [], []
        for i in range(max(map(len, self.rows.values()))):
            rows = [rows[i] for rows in self.rows.values() if i < len(rows)]
            height = self.CELL + 30 * any(row.num_directions == 2 for row in rows)
            self.bottoms.append(y)
            self.middles.append(y + height / 2)
            y += height + 26 * any(row.adds for row in rows)
            self.tops.append(y)
            y += 40
        if query == "current":
            self.bus = self.tops[len(self.rows["decoder"]) - 1] + 20
        self.attention = None if query is None else self.bus + 12 + 10

    def _bridge(self):
        """From the encoder's last states to the decoder's first ones."""
        kind, end = self.config["bridge"], self.columns["decoder"][0] - 18
        if kind == "zeros":
            for y in self.middles[: len(self.rows["decoder"])]:
                self.line((self.bridge, y), (end, y), kind="states")
                self.box(self.bridge, y, 20, 20, "0", fill="other")
            return
        self.legend["states"] = {
            "dense": "last states; through a tanh layer, the decoder's first ones",
            "backward": "last state, backward; through a tanh layer, the decoder's first one",
            "copy": "last states; also the decoder's first ones",
        }[kind]
        # By layers, but each pair of rows once.
        pairs = {
            (self._row("encoder", below), self._row("decoder", layer))
            for layer, below in enumerate(self.model.bridge_layers)
        }
        for source, target in sorted(pairs):
            # So that no two cross: going down the upper one turns last, going up it turns first.
            turn = target if source >= target else len(self.rows["decoder"]) - 1 - target
            lane = self.state_lane + 6 * turn
            y, final = self.middles[source], self.middles[target]
            self.line(
                *((self._last_state(source), y), (lane, y), (lane, final), (end, final)),
                kind="states",
            )
        for target in {target for _, target in pairs} if kind != "copy" else ():
            self.box(self.bridge, self.middles[target], 36, 20, "tanh", fill="other")

    def _row(self, kind, layer):
        return next(i for i, row in enumerate(self.rows[kind]) if layer <= row.last)

    def _last_state(self, row):
        """x where an encoder row's last state begins: its last cell, or both directions' panel."""
        both = self.rows["encoder"][row].num_directions == 2
        return self.columns["encoder"][-1] + (self.HALF if both else 18)

    def _encoder(self):
        model, columns, rows = self.model, self.columns["encoder"], self.rows["encoder"]
        tokens = ["x₂", "x₁", "end"] if model.reverse_source else ["x₁", "x₂", "end"]
        caption = "source tokens" + ", reversed but the end" * model.reverse_source
        self._embedding("encoder", model.source_embedding, tokens, caption)
        outputs = [None] * 3  # of the row below, at each step
        for i, row in enumerate(rows):
            units, both = model.encoder[row.first][0].units, row.num_directions == 2
            lines = [f"{self.name} {units:,}"]
            if both:
                lines = [f"2 {TIMES} {lines[0]}", "both directions"]
            self._panel("encoder", i, lines)
            cells = [(-16, -15, 30), (16, 15, 30)] if both else [(0, 0, 36)]
            for step, x in enumerate(columns):
                inputs = [
                    (x + right, self.middles[i] + up - self.CELL / 2) for right, up, _ in cells
                ]
                if i == 0:
                    for end in inputs:
                        self.line((end[0], 24), end)
                else:
                    self._link(outputs[step], inputs, self.bottoms[i] - self.BELOW)
                outputs[step] = []
                for backward, (right, up, width) in enumerate(cells):
                    middle, y = x + right, self.middles[i] + up
                    self.box(middle, y, width, self.CELL, self.name, fill="encoder")
                    outputs[step].append((middle, y + self.CELL / 2))
                    if step < 2:
                        start = middle + width / 2
                        ends = (start, y), (start + PITCH["encoder"] - width, y)
                        self.line(*(reversed(ends) if backward else ends))
                if row.adds:
                    outputs[step] = [self._residual(x, outputs[step], i, 36 if both else 28)]
        if model.has_attention:
            self._memory(outputs)
        elif model.has_fixed_context:
            self.legend["context"] = "the last layer's last state: the context of every step"
            y = self.middles[len(rows) - 1] - 7
            corners = (self.memory_lane, y), (self.memory_lane, self.bus)
            end = self.columns["decoder"][0] - 28, self.bus
            start = self._last_state(len(rows) - 1), y
            self.line(start, *corners, end, kind="context", arrow=False)

    def _link(self, outputs, inputs, y):
        """From all outputs of a row to all inputs of the next, joined at `y` where they are two."""
        for x, start in outputs:
            for foot, end in inputs:
                self.line((x, start), (x, y), (foot, y), (foot, end))

    def _residual(self, x, outputs, row, lane):
        """Adds what comes into a row at `x` to its outputs; gives the point of the sum."""
        y, below = self.tops[row] - RADIUS, self.bottoms[row] - self.BELOW
        corners = (x + lane, below), (x + lane, y)
        self.line((x, below), *corners, (x + RADIUS, y), dot=True)
        self._link(outputs, [(x, y)], y - RADIUS - 6)
        self.plus(x, y)
        return x, y + RADIUS

    def _memory(self, outputs):
        """From all encoder outputs to each attention."""
        self.legend["memory"] = "encoder outputs, which attention reads"
        y = self.tops[len(self.rows["encoder"]) - 1] + 20
        first, *others = (point for points in outputs for point in points)
        *branches, last = self.columns["decoder"]
        corners = (self.memory_lane, y), (self.memory_lane, self.bus), (last - 28, self.bus)
        end = last - 28, self.attention - 10
        self.line(first, (first[0], y), *corners, end, kind="memory")
        for x, top in others:
            self.line((x, top), (x, y), (x + 8, y), kind="memory", arrow=False)
        for x in branches:
            end = x - 28, self.attention - 10
            self.line((x - 36, self.bus), (x - 28, self.bus), end, kind="memory")

    def _decoder(self):
        """Its columns have these lanes, from their middles.

        | lane | what goes there |
        |---|---|
        | -28 | up: what attention reads; the context, to the read-out and to upper layers |
        | -10 | up: the query; the context or what is fed, into a cell |
        | 14, or 0 without a context | up: the embedding, the hidden state |
        | 29 | up: a residual |
        | 36 | up: the embedding, to a maxout read-out |
        | 45 | down: what goes on to the next step |
        """
        model, columns, rows = self.model, self.columns["decoder"], self.rows["decoder"]
        tokens, caption = ["start", "y₁", "y₂"], "target tokens, from the start on"
        self._embedding("decoder", model.target_embedding, tokens, caption)
        for i in range(len(rows)):
            self._panel("decoder", i, [f"{self.name} {self.config['hidden_dim']:,}"])
        top = self.tops[len(rows) - 1] + 9
        if model.has_attention:
            top = max(top, self.attention + 10)
        self.read_out = top + 22
        shift = 14 if self.has_context else 0
        for step, x in enumerate(columns):
            hidden = x + shift, 24
            for i, row in enumerate(rows):
                y = self.middles[i]
                self.line(hidden, (x + shift, y - self.CELL / 2))
                self.box(x, y, 36, self.CELL, self.name, fill="decoder")
                if step < 2:
                    self.line((x + 18, y), (x + PITCH["decoder"] - 18, y))
                hidden = x + shift, y + self.CELL / 2
                if row.adds:
                    hidden = self._residual(x + shift, [hidden], i, 29 - shift)
                if model.query in BEFORE and i == self._query_row():
                    self._attend_next(hidden, step, x)
            self.line(hidden, (x + shift, self.read_out))
            if model.query == "current":
                self._attend(hidden, x)
            if self.has_context:
                self._context(x)
            if model.input_feeding and step < 2:
                self._enter_next(x, (x + 45, self.read_out), "feeding")
            if model.read_out == "maxout":
                self.line((x + 36, 24), (x + 36, self.read_out))
        if model.has_attention:
            self._attention()
        if model.input_feeding:
            self.legend["feeding"] = "input feeding: the read-out of the step before"
        self._head()

    def _attention(self):
        """Its boxes, and what the lines to and from them are."""
        score, columns = self.config["attention"], self.columns["decoder"]
        for x in columns:
            self.box(x - 14, self.attention, 44, 20, "attend", fill="attention")
        text = f"{score} attention\n{SCORE_TEXTS[score]}"
        self.text(columns[-1] + self.HALF + 17, self.attention, text, 8, "left")
        self.legend["query"] = {
            "previous": "query: the top state before the step",
            "current": "query: the top state after the step",
            "bottom": "query: the first layer's state before the step",
        }[self.model.query]
        self.legend["context"] = "context: a weighted mean of encoder outputs"

    def _attend(self, hidden, x):
        """The query, from the state at the point `hidden` to the attention of the same step."""
        turn, end = hidden[1] + 6, (x - 10, self.attention - 10)
        self.line((hidden[0], turn), (x - 10, turn), end, kind="query", dot=True)

    def _attend_next(self, hidden, step, x):
        """The query, from a state to the attention of the next step."""
        y = self.attention
        if step == 0:  # whose own is of the first state
            start = self.query_lane, self.middles[self._query_row()]
            self.line(start, (start[0], y), (x - 36, y), kind="query", dot=True)
        if step < 2:
            turn, lane, after = hidden[1] + 15, x + 45, x + PITCH["decoder"]
            corners = (lane, turn), (lane, y)
            self.line((hidden[0], turn), *corners, (after - 36, y), kind="query", dot=True)

    def _query_row(self):
        return 0 if self.model.query == "bottom" else len(self.rows["decoder"]) - 1

    def _context(self, x):
        """From the attention of a step, or from the fixed context, to what takes it."""
        model = self.model
        first = self.middles[0] - self.CELL / 2
        if model.query == "current":
            start = x - 10, self.attention + 10
            self.line(start, (x - 10, self.read_out), kind="context")
            return
        if model.has_fixed_context:
            left = self.columns["decoder"][0] - 28, self.bus
            self.line(left, (x - 10, self.bus), (x - 10, first), kind="context")
            if model.read_out is not None:
                up = (x - 28, self.bus), (x - 28, self.read_out)
                self.line((min(left[0], x - 36), self.bus), *up, kind="context")
            return
        start = self.attention + 10
        self.line((x - 10, start), (x - 10, first), kind="context")
        for i in range(1, len(self.rows["decoder"])) if model.query == "bottom" else ():
            turn, end = self.bottoms[i] - self.BELOW, (x - 10, self.middles[i] - self.CELL / 2)
            self.line((x - 28, start), (x - 28, turn), (x - 10, turn), end, kind="context")
        if model.read_out is not None:
            self.line((x - 28, start), (x - 28, self.read_out), kind="context")

    def _enter_next(self, x, start, kind):
        """From the point `start` of a column down into the first cell of the next one."""
        lane, end, turn = x + 45, x + PITCH["decoder"] - 10, self.bottoms[0] - self.BELOW - 2
        corners = (lane, start[1]), (lane, turn), (end, turn)
        self.line(start, *corners, (end, self.middles[0] - self.CELL / 2), kind=kind)

    def _head(self):
        """The read-out and the output projection, over all columns."""
        model, columns = self.model, self.columns["decoder"]
        y = self.read_out
        dim = self.config["hidden_dim"]
        if model.read_out is not None:
            dim = model.read_out_dim
            if model.read_out == "tanh":
                text = "tanh(W [h; c])" if self.has_context else "tanh(W h)"
            else:
                text = f"maxout(U h + V y{' + C c' if self.has_context else ''})"
            self._wide_box("decoder", y + 12, f"Read-out {text}, {dim:,}", "output")
            for x in columns:
                self.line((x, y + 24), (x, y + 44))
            y += 44
        text = f"Output projection, {dim:,} → {model.vocabulary_size:,}"
        left, right = self._wide_box("decoder", y + 12, text, "output")
        for x, token in zip(columns, ("y₁", "y₂", "end"), strict=True):
            self.line((x, y + 24), (x, y + 39))
            self.text(x, y + 47, token)
        self.text((left + right) / 2, y + 62, "logits of the next tokens", 8)
        source = self.columns["encoder"][-1] + self.HALF, 12
        self.tie(source, (left, 12), (right, 12), (right, y + 12), right + 9)

    def _embedding(self, kind, table, tokens, caption):
        """A stack's embedding, and three tokens that go into it."""
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
        """A box over all columns; gives x of its edges."""
        left, right = self.columns[kind][0] - self.HALF, self.columns[kind][-1] + self.HALF
        self.box((left + right) / 2, y, right - left, 24, text, fill=fill)
        return left, right

    def _panel(self, kind, i, lines):
        """The panel behind a row, and beside it what it holds."""
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
        text = "\n".join([title, *lines, *["residual"] * row.adds])
        x, align = (left - 8, "right") if kind == "encoder" else (right + 17, "left")
        self.text(x, y, text, 8, align)


# Layers `first` to `last` of a stack: of so many directions, with a residual or without.
_Row = namedtuple("_Row", ["first", "last", "num_directions", "adds"])


def _rows(kinds):
    """A row for each layer's `(num_directions, adds)`; if they are many, one for equal neighbours.

    But the first layer, which reads embeddings, is alone.
    """
    rows = []
    for i, kind in enumerate(kinds):
        if len(kinds) > MOST_ROWS and i > 1 and rows[-1][2:] == kind:
            rows[-1] = rows[-1]._replace(last=i)
        else:
            rows.append(_Row(i, i, *kind))
    return rows
