"""Search on the host over the signatures `encode` and `decode_step`, in NumPy.

`encode(source=...)` returns the state as a dict. `decode_step(token=..., **state)` returns the next
state and `logits`. The signature runners of a TFLite interpreter have this form.
"""

from collections.abc import Callable
from numbers import Integral

import numpy as np

from .checks import is_number, require, require_positive


class HostSearch:
    """Greedy search and sampling outside the file.

    Equal logits and equal draws give the same tokens as `zoo.greedy_search` and `zoo.sample`.

    Args:
        encode: Function of `source (batch, source_length)`, ids or features, that returns the state
            as a dict.
        decode_step: Function of `token`, int32 `(batch,)`, and the state by name. It returns
            `logits (batch, vocabulary_size)` and the state; unchanged entries may be omitted.
        start_id: Id that begins a target.
        end_id: Id that ends a target.
        pad_id: Id that fills the rest of a target.
        max_tokens: Maximum number of tokens that `decode_step` supports. Default: no limit.

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
    ):
        self.encode, self.decode_step, self.max_tokens = encode, decode_step, max_tokens
        self.start_id, self.end_id, self.pad_id = start_id, end_id, pad_id

    def greedy(self, source: np.ndarray, max_length: int) -> tuple[np.ndarray, np.ndarray]:
        """Generate the most probable token at each step, until each sentence ends.

        Args:
            source: Sources `(batch, source_length)`.
            max_length: Maximum number of tokens to generate.

        Returns:
            `tokens`, int32 `(batch, length)`, without start and end, padded; and `lengths`, int32
            `(batch,)`.

        Raises:
            ValueError: `max_length` is not a positive integer, or exceeds `max_tokens`.
        """
        self.check_length(max_length)
        return self._run(source, max_length, lambda logits, step: logits.argmax(axis=-1))

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
            return _drawn(logits, draws[:, step, None], top_k, top_p)

        return self._run(source, max_length, choose)

    def check_length(self, max_length: int) -> None:
        """Raise ValueError unless `max_length` tokens can be generated."""
        require_positive(max_length=max_length)
        if self.max_tokens is not None:
            expected = f"at most {self.max_tokens}, the size of the file's KV cache"
            require(max_length <= self.max_tokens, expected, max_length=max_length)

    def _run(self, source, max_length, choose):
        batch = len(source)
        state = self.encode(source=source)
        token = np.full(batch, self.start_id, np.int32)
        running = np.ones(batch, bool)
        lengths = np.zeros(batch, np.int32)
        tokens = np.full((batch, max_length), self.pad_id, np.int32)
        for step in range(max_length):
            state = {**state, **self.decode_step(token=token, **state)}
            token = choose(state.pop("logits"), step).astype(np.int32)
            running &= token != self.end_id
            if not running.any():
                break
            token = np.where(running, token, np.int32(self.pad_id))
            tokens[:, step], lengths = token, lengths + running
        return tokens[:, : max(1, lengths.max())], lengths


def check_sampling(temperature, top_k, top_p, seed=None):
    """Raise ValueError unless the arguments are those of `HostSearch.sample`."""
    tiny, largest = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
    is_valid = is_number(temperature) and tiny <= temperature <= largest
    require(is_valid, f"a positive float32 number, at least {tiny:.4g}", temperature=temperature)
    is_valid = top_k is None or (is_number(top_k, Integral) and top_k > 0)
    require(is_valid, "a positive integer, or None", top_k=top_k)
    is_valid = top_p is None or (is_number(top_p) and 0 < top_p <= 1)
    require(is_valid, "a number in (0, 1], or None", top_p=top_p)
    is_valid = seed is None or (is_number(seed, Integral) and seed >= 0)
    require(is_valid, "a non-negative integer, or None", seed=seed)


def _drawn(logits, draw, top_k, top_p):
    """Return ids `(batch,)` at which cumulative probabilities exceed the draws `(batch, 1)`."""
    order = None
    if top_k is not None or top_p is not None:
        # The most probable first, ties by index, as in `ops.top_k`.
        order = np.argsort(-logits, axis=-1, kind="stable")[:, :top_k]
        logits = np.take_along_axis(logits, order, axis=-1)
    probabilities = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    cumulative = probabilities.cumsum(axis=-1)
    is_candidate = np.ones_like(cumulative, bool)
    if top_p is not None:
        is_candidate = cumulative - probabilities < np.float32(top_p)
    total = np.where(is_candidate, cumulative, 0).max(axis=-1, keepdims=True)
    index = (cumulative <= draw * total).sum(axis=-1, keepdims=True)
    index = np.minimum(index, is_candidate.sum(axis=-1, keepdims=True) - 1)
    return (index if order is None else np.take_along_axis(order, index, axis=-1))[:, 0]
