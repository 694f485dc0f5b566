"""Drawing of an RNN Seq2Seq."""

from .canvas import TIMES
from .unrolled import CELL_NAMES, PITCH, QUERIES_BEFORE_STEP, UnrolledStacks, grouped

SCORE_TEXTS = {
    "additive": "v tanh(W q + U m)",
    "dot": "q m",
    "general": "q W m",
    "concat": "v tanh(W [q; m])",
}


class RNNDrawing(UnrolledStacks):
    """An RNN Seq2Seq unrolled over three steps."""

    def draw(self):
        model, config = self.model, self.config
        self.name = CELL_NAMES[config["cell"]]
        self.has_context = config["attention"] is not None
        self.rows = {
            "encoder": grouped(
                [(len(d), self._has_residual(i)) for i, d in enumerate(model.encoder)]
            ),
            "decoder": grouped([(1, self._has_residual(i)) for i in range(len(model.decoder))]),
        }
        # Between the stacks, from left to right: the lane of encoder outputs, the lanes of states,
        # the bridge, the lane of the first attention query.
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

    def _bridge(self):
        """Draw how the encoder's final states initialize the decoder."""
        kind, end = self.config["bridge"], self.columns["decoder"][0] - 18
        if kind == "zeros":
            for y in self.middles[: len(self.rows["decoder"])]:
                self.line((self.bridge, y), (end, y), kind="states")
                self.box(self.bridge, y, 20, 20, "0", fill="other")
            return
        self.legend["states"] = {
            "dense": "final states, through a tanh layer: the decoder's initial states",
            "backward": "final backward state, through a tanh layer: the decoder's initial state",
            "copy": "final states, copied: the decoder's initial states",
        }[kind]
        # Bridges join layers; each pair of rows is drawn once.
        pairs = {
            (self._row("encoder", below), self._row("decoder", layer))
            for layer, below in enumerate(self.model.bridge_layers)
        }
        for source, target in sorted(pairs):
            # Avoids crossings: of two lines going down the upper one bends last, going up first.
            turn = target if source >= target else len(self.rows["decoder"]) - 1 - target
            lane = self.state_lane + 6 * turn
            y, final = self.middles[source], self.middles[target]
            self.line(
                *((self._last_state(source), y), (lane, y), (lane, final), (end, final)),
                kind="states",
            )
        for target in {target for _, target in pairs} if kind != "copy" else ():
            self.box(self.bridge, self.middles[target], 36, 20, "tanh", fill="other")

    def _encoder(self):
        model, columns, rows = self.model, self.columns["encoder"], self.rows["encoder"]
        tokens = ["x₂", "x₁", "end"] if model.reverse_source else ["x₁", "x₂", "end"]
        caption = "source tokens" + ", reversed, end token last" * model.reverse_source
        self._embedding("encoder", model.source_embedding, tokens, caption)
        outputs = [None] * 3  # of the row below, for each step
        for i, row in enumerate(rows):
            units, both = model.encoder[row.first][0].units, row.num_directions == 2
            lines = [f"{self.name} {units:,}"]
            if both:
                lines = [f"2 {TIMES} {lines[0]}", "bidirectional"]
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
                if row.has_residual:
                    outputs[step] = [self._residual(x, outputs[step], i, 36 if both else 28)]
        if model.has_attention:
            self._memory(outputs)
        elif model.has_fixed_context:
            self.legend["context"] = "final state of the last layer: the context of every step"
            y = self.middles[len(rows) - 1] - 7
            corners = (self.memory_lane, y), (self.memory_lane, self.bus)
            end = self.columns["decoder"][0] - 28, self.bus
            start = self._last_state(len(rows) - 1), y
            self.line(start, *corners, end, kind="context", arrow=False)

    def _memory(self, outputs):
        """Join all encoder outputs to the attention of each step."""
        self.legend["memory"] = "encoder outputs: the memory of attention"
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
        """Draw the decoder. Each column has lanes at these offsets from its center.

        | lane | line |
        |---|---|
        | -28 | up: encoder outputs; context to the read-out and to upper layers |
        | -10 | up: query; context or fed read-out into a cell |
        | 14, or 0 without a context | up: embedding, hidden state |
        | 29 | up: residual connection |
        | 36 | up: embedding to a maxout read-out |
        | 45 | down: query or read-out for the next step |
        """
        model, columns, rows = self.model, self.columns["decoder"], self.rows["decoder"]
        tokens, caption = ["start", "y₁", "y₂"], "target tokens, beginning with start"
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
                if row.has_residual:
                    hidden = self._residual(x + shift, [hidden], i, 29 - shift)
                if model.query in QUERIES_BEFORE_STEP and i == self._query_row():
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
            self.legend["feeding"] = "input feeding: the previous step's read-out"
        self._head()

    def _attention(self):
        """Draw the attention boxes and their legend."""
        score, columns = self.config["attention"], self.columns["decoder"]
        for x in columns:
            self.box(x - 14, self.attention, 44, 20, "attend", fill="attention")
        text = f"{score} attention\n{SCORE_TEXTS[score]}"
        self.text(columns[-1] + self.HALF + 17, self.attention, text, 8, "left")
        self.legend["query"] = {
            "previous": "query: top state before the step",
            "current": "query: top state after the step",
            "bottom": "query: first layer's state before the step",
        }[self.model.query]
        self.legend["context"] = "context: weighted mean of encoder outputs"

    def _attend(self, hidden, x):
        """Draw the query from the state at `hidden` to the attention of the same step."""
        turn, end = hidden[1] + 6, (x - 10, self.attention - 10)
        self.line((hidden[0], turn), (x - 10, turn), end, kind="query", dot=True)

    def _attend_next(self, hidden, step, x):
        """Draw the query from a state to the attention of the next step."""
        y = self.attention
        if step == 0:  # its query is the initial state
            start = self.query_lane, self.middles[self._query_row()]
            self.line(start, (start[0], y), (x - 36, y), kind="query", dot=True)
        if step < 2:
            turn, lane, after = hidden[1] + 15, x + 45, x + PITCH["decoder"]
            corners = (lane, turn), (lane, y)
            self.line((hidden[0], turn), *corners, (after - 36, y), kind="query", dot=True)

    def _query_row(self):
        return 0 if self.model.query == "bottom" else len(self.rows["decoder"]) - 1

    def _context(self, x):
        """Draw the context, from attention or the encoder, to the layers that read it."""
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
        """Draw a line from `start` down into the first cell of the next column."""
        lane, end, turn = x + 45, x + PITCH["decoder"] - 10, self.bottoms[0] - self.BELOW - 2
        corners = (lane, start[1]), (lane, turn), (end, turn)
        self.line(start, *corners, (end, self.middles[0] - self.CELL / 2), kind=kind)

    def _head(self):
        """Draw the read-out and the output projection above all columns."""
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
