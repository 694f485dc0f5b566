"""Drawing of a Transformer."""

from .canvas import RADIUS, TIMES, Drawing


class TransformerDrawing(Drawing):
    """A Transformer, as in Vaswani et al. 2017, figure 1."""

    HALF = 82  # half the width of a box
    LANE = HALF + 13  # offset of residual connections from a stack's center
    PANEL = HALF + 22  # offset of a panel's edge
    DISTANCE = 262  # between the centers of the stacks

    def draw(self):
        model, x = self.model, self.DISTANCE
        self.norm_first = self.config["norm_first"]
        self.legend["memory"] = "encoder outputs, which every decoder layer reads"
        memory = (0, self._stack("encoder", 0, -1, model.encoder_layers))
        top = self._stack("decoder", x, 1, model.decoder_layers, memory)
        output = top + 17 + (14 if self.norm_first else 22)
        sizes = f"{model.model_dim:,} → {model.vocabulary_size:,}"
        self.line((x, top), (x, output - 17))
        self.box(x, output, 2 * self.HALF, 34, "Output projection", sizes, fill="output")
        self.line((x, output + 17), (x, output + 33))
        self.text(x, output + 41, "logits of the next token", size=8)
        left, right = ((x + side * self.HALF, 17) for side in (-1, 1))
        self.tie((self.HALF, 17), left, right, (x + self.HALF, output), x + self.PANEL + 8)
        self.heading(memory[1] + 32, x - self.HALF)
        return self.finish()

    def _stack(self, kind, x, side, layers, memory=None):
        """Draw the encoder or the decoder.

        Args:
            kind: `"encoder"` or `"decoder"`.
            x: The stack's center.
            side: Side of residual connections and positions: -1 for left, 1 for right.
            layers: The stack's layers.
            memory: Point at which the encoder's outputs leave its stack.

        Returns:
            The y coordinate of the stack's top.
        """
        y = self._embedding(kind, x, side)
        bottom = y + 12
        y += 22
        if kind == "decoder" and self.config["decoder"] == "ssru":
            y = self._sub_layer(x, side, y, "SSRU", "a recurrence over the target", kind)
        else:
            text = "Self-attention" if kind == "encoder" else "Masked self-attention"
            y = self._sub_layer(x, side, y, text, self._heads(), "attention", fork=True)
            self._positions_within(kind, x, side)
        if memory is not None:
            y = self._sub_layer(x, side, y + 14, "Cross-attention", self._heads(), "attention")
            turn, over = self.DISTANCE / 2, memory[1] + (12 if self.norm_first else 20)
            corners = (0, over), (turn, over), (turn, self.middle)
            self.line(memory, *corners, (x - self.HALF, self.middle), kind="memory")
        config = self.config
        name = {"relu": "ReLU", "gelu": "GELU", "swiglu": "SwiGLU"}[config["activation"]]
        dim, inner = f"{config['model_dim']:,}", f"{config['feed_forward_dim']:,}"
        sub = f"{dim} → {inner} → {dim}"
        y = self._sub_layer(x, side, y + 14, f"Feed-forward, {name}", sub, kind)
        top = y + 8
        self.box(
            *(x, (bottom + top) / 2, 2 * self.PANEL, top - bottom),
            gid=f"{kind}_layers",
        )
        align = "right" if side < 0 else "left"
        text = f"{TIMES} {len(layers)}"
        self.text(x + side * (self.PANEL + 16), self.middle, text, 12, align, "bold")
        if self.norm_first:
            self.line((x, y), (x, top + 10))
            y = top + 30
            self._norm(x, y - 10, "Layer", "RMS")
        return y

    def _embedding(self, kind, x, side):
        """Draw tokens, embedding and added positions; return the y coordinate of their top."""
        model, positions = self.model, self.config["positions"]
        table = model.source_embedding if kind == "encoder" else model.target_embedding
        tokens = "source tokens" if kind == "encoder" else "target tokens, beginning with start"
        text = "Source embedding" if kind == "encoder" else "Target embedding"
        sub = f"{table.input_dim:,} {TIMES} {model.model_dim:,}, scaled by √{model.model_dim}"
        self.text(x, -25, tokens, 8)
        self.line((x, -17), (x, 0))
        self.box(x, 17, 2 * self.HALF, 34, text, sub, fill="embedding")
        if positions not in ("sinusoidal", "learned"):
            return 34
        y = 34 + 21
        self.line((x, 34), (x, y - RADIUS), arrow=False)
        self.plus(x, y)
        sub = "sinusoidal" if positions == "sinusoidal" else f"learned, {model.max_positions:,}"
        self.box(x + side * 64, y, 76, 26, "Positions", sub, fill="embedding")
        self.line((x + side * 26, y), (x + side * RADIUS, y))
        return y + RADIUS

    def _positions_within(self, kind, x, side):
        """Draw positions that enter self-attention in every layer."""
        bias = getattr(self.model, f"{kind}_bias")
        if bias is not None:
            lines = "Relative bias", f"{bias.num_buckets} buckets {TIMES} {bias.num_heads}"
        elif self.config["positions"] == "rotary":
            lines = "Rotary positions", "of queries, keys"
        else:
            return
        start = x + side * (self.PANEL + 16)
        self.box(start + side * 46, self.middle, 92, 34, *lines, fill="embedding")
        self.line((start, self.middle), (x + side * self.HALF, self.middle))

    def _heads(self):
        heads, shared = self.config["num_heads"], self.config["num_key_heads"]
        text = f"{heads} head{'s' if heads > 1 else ''} of {self.model.head_dim}"
        return text if shared in (None, heads) else f"{text}, {shared} key/value heads"

    def _sub_layer(self, x, side, y, text, sub, fill, fork=False):
        """Draw a sub-layer with its normalization and residual connection, starting at `y`.

        Sets `middle` to the center of its box. With `fork`, three arrows enter the box.

        Returns:
            The y coordinate of its top.
        """
        start = branch = y
        self.line((x, branch - 22), (x, branch), arrow=False)
        if self.norm_first:
            self._norm(x, branch + 22, "Layer", "RMS")
            self.line((x, branch), (x, branch + 12))
            start = branch + 32
        bottom = start + 18
        for foot in (-30, 0, 30) if fork else (0,):
            split = start + 7
            self.line((x, start), (x, split), (x + foot, split), (x + foot, bottom))
        self.middle = bottom + 17
        self.box(x, self.middle, 2 * self.HALF, 34, text, sub, fill=fill)
        y = bottom + 34
        if self.norm_first:
            middle = y + 9 + RADIUS
            self.line((x, y), (x, middle), arrow=False)
            self.plus(x, middle)
            end, top = x + side * RADIUS, middle + RADIUS
        else:
            middle = y + 20
            self.line((x, y), (x, middle - 10))
            self._norm(x, middle, "Add, layer", "Add, RMS")
            end, top = x + side * self.HALF, middle + 10
        lane = x + side * self.LANE
        self.line((x, branch), (lane, branch), (lane, middle), (end, middle), dot=True)
        return top

    def _norm(self, x, y, layer, rms):
        name = {"layer": layer, "rms": rms}[self.config["norm"]]
        self.box(x, y, 2 * self.HALF, 20, f"{name} normalization", fill="norm")
