"""Search on the host over the signatures `encode` and `decode_step`, in NumPy.

`encode(source=...)` returns the state as a dict. `decode_step(token=..., **state)` returns the next
state and `logits`. The signature runners of a TFLite interpreter have this form.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .checks import require, require_below, require_no_start, require_positive
from .constraints import Constraints, takes_constraints
from .host_decoding import beam_search, check_beams, check_sampling, drawn, log_probabilities


class HostSearch:
    """Greedy search, beam search, sampling and scores outside the file.

    Equal logits and equal draws give the same tokens as `zoo.greedy_search`, `zoo.beam_search` and
    `zoo.sample`, and the scores of `zoo.score`. All searches take the constraints of `Constraints` as
    keyword arguments, and `prefix`: ids `(batch, prefix_length)` that the targets must begin with,
    padded at the end with `pad_id`. The constraints do not change the prefix.

    Args:
        encode: Function of `source (batch, source_length)`, ids or features, that returns the state
            as a dict.
        decode_step: Function of `token`, int32 `(batch,)`, and the state by name. It returns
            `logits (batch, vocabulary_size)` and the state; unchanged entries may be omitted. It may
            also return `attention (batch, source_length)`.
        start_id: Id that begins a target.
        end_id: Id that ends a target.
        pad_id: Id that fills the rest of a target.
        max_tokens: Maximum number of tokens that `decode_step` supports. Default: no limit.
        batch: Number of rows of each call of `encode` and `decode_step`. Default: any number.

    Example:
        >>> import numpy as np
        >>> from seq2lite.export.runtime.host_search import HostSearch
        >>> def decode_step(token, seen):  # generates 3, 4, 5, …
        ...     return {"logits": np.eye(9)[token + 1], "seen": seen + 1}
        >>> search = HostSearch(lambda source: {"seen": source[:, 0]}, decode_step,
        ...                     start_id=2, end_id=6, pad_id=0)
        >>> search.greedy(np.array([[5, 6]]), max_length=8)
        (array([[3, 4, 5]], dtype=int32), array([3], dtype=int32))
    """

    def __init__(
        self,
        encode: Callable,
        decode_step: Callable,
        *,
        start_id: int,
        end_id: int,
        pad_id: int,
        max_tokens: int | None = None,
        batch: int | None = None,
    ):
        self.encode, self.decode_step = encode, decode_step
        self.max_tokens, self.batch = max_tokens, batch
        self.start_id, self.end_id, self.pad_id = start_id, end_id, pad_id

    @takes_constraints
    def greedy(
        self,
        source: np.ndarray,
        max_length: int,
        *,
        prefix: np.ndarray | None = None,
        **constraints: Any,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Generate the most probable token at each step, until each sentence ends.

        Args:
            source: Sources `(batch, source_length)`.
            max_length: Maximum number of tokens to generate.
            prefix: Ids that the targets must begin with. Default: none.
            **constraints: The arguments of `Constraints`.

        Returns:
            `tokens`, int32 `(batch, length)`, without start and end, padded; and `lengths`, int32
            `(batch,)`.

        Raises:
            ValueError: `max_length` is not a positive integer, or exceeds `max_tokens`; or another
                argument is out of its range.
        """
        steps = self._steps(source, max_length, prefix, constraints)
        return self._collected(len(source), max_length, steps)

    @takes_constraints
    def stream(
        self,
        source: np.ndarray,
        max_length: int,
        *,
        prefix: np.ndarray | None = None,
        **constraints: Any,
    ) -> Iterator[int]:
        """Return an iterator over the tokens of a greedy search, computed one by one.

        Args:
            source: One source `(1, source_length)`.
            max_length: Maximum number of tokens to generate.
            prefix: Ids that the target must begin with, as in `greedy`.
            **constraints: The arguments of `Constraints`.

        Raises:
            ValueError: As in `greedy`, or there are several sources.
        """
        require(len(source) == 1, "one source, of shape (1, source_length)", source=source)
        steps = self._steps(source, max_length, prefix, constraints)
        return (int(token[0]) for token, _ in steps)

    @takes_constraints
    def beam(
        self,
        source: np.ndarray,
        max_length: int,
        *,
        num_beams: int = 4,
        num_hypotheses: int = 1,
        length_penalty: float = 0.6,
        prefix: np.ndarray | None = None,
        **constraints: Any,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Keep the `num_beams` most probable hypotheses at each step and return the best targets.

        Args:
            source: Sources `(batch, source_length)`.
            max_length: Maximum number of tokens of a target, its end included.
            num_beams: Beam size, default 4.
            num_hypotheses: Number of targets to return for each sentence, at most `num_beams`.
            length_penalty: Exponent of the length penalty, as in `zoo.beam_search`. Default 0.6.
            prefix: Ids that the targets must begin with, as in `greedy`.
            **constraints: The arguments of `Constraints`. They change the scores.

        Returns:
            `tokens`, int32 `(batch, num_hypotheses, length)`, the best target first; `lengths`, int32
            `(batch, num_hypotheses)`; and `scores`, float32 `(batch, num_hypotheses)`, at most -1e9
            where fewer targets exist.

        Raises:
            ValueError: An argument is out of its range.
        """
        check_beams(num_beams, num_hypotheses, length_penalty)
        constrain = self._constrain(len(source), max_length, prefix, constraints)
        return beam_search(
            self._call(self.encode, source=source),
            lambda token, state: self._advance(token, state)[:2],
            constrain,
            len(source),
            max_length,
            num_beams=num_beams,
            num_hypotheses=num_hypotheses,
            length_penalty=length_penalty,
            start_id=self.start_id,
            end_id=self.end_id,
            pad_id=self.pad_id,
        )

    @takes_constraints
    def sample(
        self,
        source: np.ndarray,
        max_length: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        draws: np.ndarray | None = None,
        prefix: np.ndarray | None = None,
        **constraints: Any,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sample each token from the model's distribution, until each sentence ends.

        Args:
            source: Sources `(batch, source_length)`. Repeat a row for several samples of it.
            max_length: Maximum number of tokens to generate.
            temperature: Divisor of the logits, a positive number, default 1. Values below 1 favor
                probable tokens.
            top_k: Number of most probable tokens to sample from. Default: all.
            top_p: Sample from the smallest set of most probable tokens, after `top_k`, whose
                probabilities sum to at least this number in (0, 1]. Default: all.
            seed: Seed of the random numbers. Default: a new seed for each call.
            draws: Random numbers in [0, 1), `(batch, max_length)`, instead of `seed`.
            prefix: Ids that the targets must begin with, as in `greedy`.
            **constraints: The arguments of `Constraints`. They change the logits before
                `temperature`.

        Returns:
            `tokens` and `lengths`, as in `greedy`.

        Raises:
            ValueError: An argument is out of its range.
        """
        self.check_length(max_length)
        check_sampling(temperature, top_k, top_p, seed)
        shape = (len(source), max_length)
        if draws is None:
            draws = np.random.default_rng(seed).random(shape, np.float32)
        else:
            require(seed is None, "None where `draws` are given", seed=seed)
            expected = f"of shape (batch, max_length)={shape}"
            require(np.shape(draws) == shape, expected, draws=np.asarray(draws))
        draws = np.asarray(draws, np.float32)

        def choose(logits, step):
            logits = logits.astype(np.float32)
            # With a maximum of 0, a small temperature gives -inf, probability 0, never +inf.
            logits = logits - logits.max(axis=-1, keepdims=True)
            with np.errstate(over="ignore"):
                logits = logits / np.float32(temperature)
            return drawn(logits, draws[:, step, None], top_k, top_p)

        steps = self._steps(source, max_length, prefix, constraints, choose)
        return self._collected(len(source), max_length, steps)

    def score(
        self, source: np.ndarray, target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return the log-probabilities of given targets, and the attention paid to the sources.

        Args:
            source: Sources `(batch, source_length)`.
            target: Targets `(batch, target_length)` without start, each row ended by `end_id`, then
                padded.

        Returns:
            The natural log-probability of each target, float32 `(batch,)`; that of each token,
            float32 `(batch, target_length)`, zero at padding; and the attention weights `(batch,
            target_length, source_length)`, None if `decode_step` does not return any.

        Raises:
            ValueError: `target` has another shape or length, or a row begins with `start_id`.
        """
        target = self._checked_ids("target", target, len(source))
        self.check_length(target.shape[1], "target_length")
        state = self._call(self.encode, source=source)
        token = np.full(len(source), self.start_id, np.int32)
        each, weights = np.zeros(target.shape, np.float32), []
        for step, after in enumerate(target.T):
            logits, state, attention = self._advance(token, state)
            scores = log_probabilities(logits)
            require_below("target", target, logits.shape[1])
            each[:, step] = np.take_along_axis(scores, after[:, None], axis=1)[:, 0]
            weights.append(attention)
            token = after
        each[target == self.pad_id] = 0
        has_attention = bool(weights) and weights[0] is not None
        attention = np.stack(weights, axis=1)[:, :, : source.shape[1]] if has_attention else None
        return each.sum(axis=1), each, attention

    def check_length(self, length: int, name: str = "max_length") -> None:
        """Raise ValueError unless a number of tokens, an argument's, can be generated."""
        require_positive(**{name: length})
        if self.max_tokens is not None:
            expected = f"at most {self.max_tokens}, the size of the file's KV cache"
            require(length <= self.max_tokens, expected, **{name: length})

    def _steps(self, source, max_length, prefix, constraints, choose=None):
        """Return a generator of the tokens `(batch,)` of each step, and of which rows have not ended."""
        constrain = self._constrain(len(source), max_length, prefix, constraints)

        def generate():
            state = self._call(self.encode, source=source)
            history = np.full((len(source), 1), self.start_id, np.int32)
            running = np.ones(len(source), bool)
            for step in range(max_length):
                logits, state, _ = self._advance(history[:, -1], state)
                logits = constrain(logits, history)
                token = choose(logits, step) if choose else logits.argmax(axis=-1)  # greedy
                running = running & (token != self.end_id)
                if not running.any():
                    return
                token = np.where(running, token, self.pad_id).astype(np.int32)
                history = np.concatenate([history, token[:, None]], axis=1)
                yield token, running

        return generate()

    def _collected(self, batch, max_length, steps):
        """Return the tokens of `_steps` as an array, and their lengths."""
        tokens = np.full((batch, max_length), self.pad_id, np.int32)
        lengths = np.zeros(batch, np.int32)
        for step, (token, running) in enumerate(steps):
            tokens[:, step], lengths = token, lengths + running
        return tokens[:, : max(1, lengths.max())], lengths

    def _constrain(self, batch, max_length, prefix, constraints):
        """Check the arguments of a search; return its constraints and prefix as a function of scores.

        The function takes scores `(rows, vocabulary_size)` and the tokens so far, start included.
        """
        self.check_length(max_length)
        constraints = Constraints(**constraints)
        constraints.check(max_length)
        if prefix is not None:
            prefix = self._checked_ids("prefix", prefix, batch)
            expected = f"at most max_length={max_length} long"
            require(prefix.shape[1] <= max_length, expected, prefix=prefix)

        def constrain(scores, history):
            step = history.shape[1] - 1
            if step == 0:
                constraints.check(max_length, scores.shape[1], self.end_id)
                require_below("prefix", prefix, scores.shape[1])
            allowed = constraints.apply(scores, history, self.end_id) if constraints else scores
            if prefix is None or step >= prefix.shape[1]:
                return allowed
            forced = np.repeat(prefix[:, step], len(scores) // batch)
            rows = np.flatnonzero(forced != self.pad_id)
            allowed = np.array(allowed)
            allowed[rows] = -np.inf
            allowed[rows, forced[rows]] = scores[rows, forced[rows]]
            return allowed

        return constrain

    def _checked_ids(self, name, ids, batch):
        """Return int32 ids `(batch, length)` without start, or raise ValueError."""
        ids = np.asarray(ids)
        is_valid = ids.dtype.kind in "iu" and ids.ndim == 2 and len(ids) == batch
        expected = f"ids of shape (batch={batch}, length)"
        require(is_valid and (ids >= 0).all(), expected, **{name: ids})
        require_no_start(name, ids, self.start_id, self.end_id, self.pad_id)
        return ids.astype(np.int32)

    def _advance(self, token, state):
        """Return the logits of a step, the next state, and the attention weights or None."""
        outputs = dict(self._call(self.decode_step, token=token, **state))
        logits, attention = np.asarray(outputs.pop("logits")), outputs.pop("attention", None)
        return logits, {**state, **outputs}, attention

    def _call(self, function, **inputs):
        """Call a function of rows, `self.batch` rows at a time."""
        rows = len(next(iter(inputs.values())))
        if self.batch is None or rows == self.batch:
            return function(**inputs)
        outputs = []
        for start in range(0, rows, self.batch):
            # The first row fills an incomplete batch.
            chosen = np.arange(start, start + self.batch)
            chosen = np.where(chosen < rows, chosen, 0)
            outputs.append(function(**{name: np.asarray(x)[chosen] for name, x in inputs.items()}))
        return {
            name: np.concatenate([np.asarray(output[name]) for output in outputs])[:rows]
            for name in outputs[0]
        }
