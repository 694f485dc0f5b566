"""Constraints on the tokens of a target, as the logits processors of Hugging Face apply them.

`zoo.search.constraints` is the same for tensors.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from math import isfinite
from numbers import Integral
from typing import Any, TypeVar

import numpy as np

from .checks import is_number, quote, require

Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True)
class Constraints:
    """Constraints of a search on the host. Their definitions are those of `zoo.greedy_search`.

    Args:
        min_length: Minimum number of tokens before the end. Default 0.
        no_repeat_ngram: No sequence of this many tokens occurs twice in a target, its start token
            included. Default 0: no constraint.
        repetition_penalty: Divisor of the positive scores, and factor of the negative ones, of tokens
            that the target contains, its start token included. Default 1: no penalty.
        banned_tokens: Ids that are never generated. Default: none.

    Raises:
        ValueError: A constraint is out of its range.

    Example:
        >>> import numpy as np
        >>> from seq2lite.export.runtime.constraints import Constraints
        >>> scores, history = np.array([[1.0, 2.0, 3.0, 4.0]], np.float32), np.array([[1, 2]])
        >>> Constraints(repetition_penalty=2.0, banned_tokens=[3]).apply(scores, history, end_id=0)
        array([[ 1. ,  1. ,  1.5, -inf]], dtype=float32)
    """

    min_length: int = 0
    no_repeat_ngram: int = 0
    repetition_penalty: float = 1.0
    banned_tokens: Sequence[int] = ()

    def __post_init__(self):
        for name in ("min_length", "no_repeat_ngram"):
            value = getattr(self, name)
            is_valid = is_number(value, Integral) and value >= 0
            require(is_valid, "a non-negative integer", **{name: value})
        value = self.repetition_penalty
        is_valid = is_number(value) and isfinite(value) and value > 0
        require(is_valid, "a finite, positive number", repetition_penalty=value)
        ids = self.banned_tokens
        is_valid = np.ndim(ids) == 1 and all(is_number(i, Integral) and i >= 0 for i in ids)
        require(is_valid, "a list of ids", banned_tokens=ids)
        object.__setattr__(self, "banned_tokens", tuple(map(int, ids)))

    def __bool__(self) -> bool:
        is_penalized = self.no_repeat_ngram > 0 or self.repetition_penalty != 1
        return is_penalized or self.min_length > 0 or len(self.banned_tokens) > 0

    def check(
        self, max_length: int | None, vocabulary_size: int | None = None, end_id: int | None = None
    ) -> None:
        """Raise ValueError if a constraint does not fit a search; None for a value that is unknown."""
        if max_length is not None:
            expected = f"at most max_length={max_length}"
            require(self.min_length <= max_length, expected, min_length=self.min_length)
        if vocabulary_size is not None:
            expected = f"ids in [0, {vocabulary_size}), and not all of them"
            ids = np.unique(self.banned_tokens)
            is_valid = len(ids) < vocabulary_size and (ids < vocabulary_size).all()
            require(is_valid, expected, banned_tokens=self.banned_tokens)
            is_end_left = (
                end_id is not None and len(ids) == vocabulary_size - 1 and end_id not in ids
            )
            expected = f"0 where all tokens but end_id={end_id} are banned"
            require(not is_end_left or self.min_length == 0, expected, min_length=self.min_length)

    def apply(self, scores: np.ndarray, history: np.ndarray, end_id: int) -> np.ndarray:
        """Return the scores of the next token under the constraints, -inf for excluded tokens.

        Args:
            scores: Logits or log-probabilities `(rows, vocabulary_size)`.
            history: Tokens of each row so far, the start token first, `(rows, length)`.
            end_id: Id that ends a target.
        """
        scores = np.array(scores, np.float32)
        if self.repetition_penalty != 1:
            seen = np.take_along_axis(scores, history, axis=1)
            penalty = np.float32(self.repetition_penalty)
            seen = np.where(seen < 0, seen * penalty, seen / penalty)
            np.put_along_axis(scores, history, seen, axis=1)
        n = self.no_repeat_ngram
        if n and history.shape[1] >= n:
            ngrams = np.lib.stride_tricks.sliding_window_view(history, n, axis=1)
            last = history[:, None, history.shape[1] - n + 1 :]
            rows, places = np.nonzero((ngrams[:, :, :-1] == last).all(axis=2))
            scores[rows, ngrams[rows, places, -1]] = -np.inf
        if len(self.banned_tokens):
            scores[:, self.banned_tokens] = -np.inf
        if history.shape[1] - 1 < self.min_length:
            scores[:, end_id] = -np.inf
        return scores


def takes_constraints(method: Method) -> Method:
    """Name an unknown option of a method that takes `**constraints`, in a TypeError.

    Python would name the dataclass `Constraints`, which its callers do not know.
    """
    names = [name for name in inspect.signature(method).parameters if name != "constraints"][1:]
    names += [field.name for field in fields(Constraints)]

    @functools.wraps(method)
    def checked(self, *args, **options):
        for name in options.keys() - set(names):
            near = get_close_matches(name, names, n=1)
            raise TypeError(
                f"The options of `{method.__name__}` must be among {', '.join(names)}. Received: "
                f"{name}={quote(options[name])}" + (f". Did you mean `{near[0]}`?" if near else "")
            )
        return method(self, *args, **options)

    return checked  # type: ignore[return-value]
