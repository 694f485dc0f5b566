"""Search on the host, over any `encode` and `decode_step`: NumPy alone.

`encode(source=ids)` gives the state, a dict; `decode_step(token=ids, **state)` gives it again, with
`logits`. That is what the signature runners of a TFLite interpreter take and give.
"""

from numbers import Integral, Real

import numpy as np


class HostSearch:
    """The loop that a file without `generate` needs, and the one that samples.

    The rules are those of `zoo.greedy_search` and `zoo.sample`: of equal logits, or of equal draws,
    come equal tokens.

    Args:
        encode: Takes `source`, int32 `(batch, source_length)`; gives the state, by name.
        decode_step: Takes `token`, int32 `(batch,)`, and the state, by name; gives both, with
            `logits (batch, vocabulary_size)`; of the state it may leave out what stays.
        start_id: Id that begins a target.
        end_id: Id that ends it.
        pad_id: Id that fills what follows.
        most_tokens: Most tokens that `decode_step` can say. Default: any number.

    Example:
        >>> import numpy as np
        >>> from seq2lite.export.runtime.host_search import HostSearch
        >>> def decode_step(token, seen):  # says one id more each time
        ...     return {"logits": np.eye(9)[token + 1], "seen": seen + 1}
        >>> search = HostSearch(lambda source: {"seen": source[:, 0]}, decode_step,
        ...                     start_id=2, end_id=6, pad_id=0)
        >>> search.greedy(np.array([[5, 6]]), max_length=8)
        (array([[3, 4, 5]], dtype=int32), array([3], dtype=int32))
    """

    def __init__(self, encode, decode_step, *, start_id, end_id, pad_id, most_tokens=None):
        self.encode, self.decode_step, self.most_tokens = encode, decode_step, most_tokens
        self.start_id, self.end_id, self.pad_id = start_id, end_id, pad_id

    def greedy(self, source, max_length):
        """Takes the likeliest token at each step, until each sentence ends.

        Args:
            source: int32 ids `(batch, source_length)`.
            max_length: Most tokens to generate.

        Returns:
            `tokens`, int32 `(batch, length)`, without start and end, padded; `lengths (batch,)`.

        Raises:
            ValueError: `max_length` is no positive integer, or more than `decode_step` can say.
        """
        self.check_length(max_length)
        return self._run(source, max_length, lambda logits, step: logits.argmax(axis=-1))

    def sample(
        self,
        source,
        max_length,
        *,
        temperature=1.0,
        top_k=None,
        top_p=None,
        seed=None,
        draws=None,
    ):
        """Draws each token from the model's distribution, until each sentence ends.

        Args:
            source: int32 ids `(batch, source_length)`; for several samples of a sentence repeat it.
            max_length: Most tokens to generate.
            temperature: Divides the logits: below 1 likely tokens become likelier.
            top_k: Draw among the so many likeliest tokens. Default: among all.
            top_p: Draw among the fewest tokens whose probabilities, after `top_k`, sum to this or
                more. Default: among all.
            seed: int: the same seed gives the same samples. Default: others at each call.
            draws: In the place of `seed`, numbers in [0, 1), `(batch, max_length)`.

        Returns:
            As `greedy`.

        Raises:
            ValueError: An argument is not as above.
        """
        self.check_length(max_length)
        check_sampling(temperature, top_k, top_p, seed)
        shape = (len(source), max_length)
        if draws is None:
            draws = np.random.default_rng(seed).random(shape, np.float32)
        elif seed is not None or np.shape(draws) != shape:
            raise ValueError(
                f"`draws` must be of shape (batch, max_length)={shape}, without a seed. "
                f"Received: {np.shape(draws)}, seed={seed!r}"
            )
        draws = np.asarray(draws, np.float32)

        def choose(logits, step):
            logits = logits.astype(np.float32)
            # The greatest is 0 then, and what a small temperature makes infinite is impossible.
            logits = logits - logits.max(axis=-1, keepdims=True)
            with np.errstate(over="ignore"):
                logits = logits / np.float32(temperature)
            return _drawn(logits, draws[:, step, None], top_k, top_p)

        return self._run(source, max_length, choose)

    def check_length(self, max_length):
        """Raises ValueError unless so many tokens can be said."""
        if not _is_number(max_length, Integral) or max_length < 1:
            raise ValueError(f"`max_length` must be a positive integer. Received: {max_length!r}")
        if self.most_tokens is not None and max_length > self.most_tokens:
            raise ValueError(
                f"`max_length` must be at most {self.most_tokens}, the tokens that the file can "
                f"remember. Received: {max_length}"
            )

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
    """Raises ValueError unless they are what `HostSearch.sample` takes."""
    least, greatest = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
    for name, value, what, kind, holds in (
        (
            "temperature",
            temperature,
            f"a positive number of float32, {least:.4g} or more",
            Real,
            lambda t: least <= t <= greatest,
        ),
        ("top_k", top_k, "a positive integer, or None", Integral, lambda k: k > 0),
        ("top_p", top_p, "a number in (0, 1], or None", Real, lambda p: 0 < p <= 1),
        ("seed", seed, "an integer of 0 or more, or None", Integral, lambda s: s >= 0),
    ):
        if value is None and name != "temperature":
            continue
        if not _is_number(value, kind) or not holds(value):
            raise ValueError(f"`{name}` must be {what}. Received: {value!r}")


def _is_number(value, kind):
    return isinstance(value, kind) and not isinstance(value, bool)


def _drawn(logits, draw, top_k, top_p):
    """Ids `(batch,)`: where the cumulated probabilities pass the draws `(batch, 1)`."""
    order = None
    if top_k is not None or top_p is not None:
        # The likeliest first, and of equal ones the first, as `ops.top_k` has them.
        order = np.argsort(-logits, axis=-1, kind="stable")[:, :top_k]
        logits = np.take_along_axis(logits, order, axis=-1)
    probabilities = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    cumulated = probabilities.cumsum(axis=-1)
    among = np.ones_like(cumulated, bool)
    if top_p is not None:
        among = cumulated - probabilities < np.float32(top_p)
    total = np.where(among, cumulated, 0).max(axis=-1, keepdims=True)
    place = (cumulated <= draw * total).sum(axis=-1, keepdims=True)
    place = np.minimum(place, among.sum(axis=-1, keepdims=True) - 1)
    return (place if order is None else np.take_along_axis(order, place, axis=-1))[:, 0]
