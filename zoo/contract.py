"""The contract that every model of the zoo answers: three calls."""

import keras
from keras import ops

from .checks import _is_integer, require, require_sizes


class Seq2Seq(keras.Model):
    """Base of the zoo's models: what search, recipes and export may rely on.

    A family is added by writing three calls. Shapes are `(batch, source_length)` for `source`,
    `(batch, target_length)` for `target` and `(batch,)` for `token`, all int32 ids.

    | call | gives |
    |---|---|
    | `model({"source", "target"})` | logits `(batch, target_length, vocabulary_size)` |
    | `model.encode(source)` | the state: a flat dict, name to tensor, batch first in each |
    | `model.decode_step(token, state)` | logits `(batch, vocabulary_size)`, the next state |

    Stepwise decoding equals the first call (teacher forcing) on the same ids. All state is
    explicit: no layer keeps anything from one call to the next. What a step leaves as it was, it
    returns as the very same tensor: a loop on a device then need not copy it. `shared_state` names
    what does not depend on which tokens were said: a beam search moves all else from beam to beam.

    A family whose state grows with what has been said may write two more, so that a search can make
    room for many tokens at once (a runtime prepares all of a step anew when a shape changes):
    `model.grow(state, length)`, and `model.step(token, state)`, a `decode_step` into room that is
    there already.

    A family with attention sets `has_attention`, and then `model(inputs, return_attention=True)`
    gives logits and weights `(batch, target_length, source_length)`, and `model.step(token, state,
    return_attention=True)` logits, state and weights `(batch, source_length)`. They are what the
    decoder looks at as it chooses: each row sums to one, and is zero at padding.

    Args:
        vocabulary_size: Number of token ids, of the target where the two sides differ.
        pad_id: Id that fills the end of shorter sequences; padding changes no result.
        start_id: Id that the target begins with.
        end_id: Id that ends a source and a target.
        source_vocabulary_size: Number of the source's token ids; None: `vocabulary_size`.
        options: The builder's other arguments, kept so that the model can be saved.

    Attributes:
        has_attention: Whether `return_attention` is there.
        max_positions: Most tokens of a source or a target; None where there is no limit.
        shared_state: Names of the state's tensors that depend on the source and on the number of
            steps alone, not on which tokens were said; none, where a family does not say.
    """

    has_attention = False
    max_positions = None
    shared_state = frozenset()

    def __init__(
        self,
        *,
        vocabulary_size,
        pad_id,
        start_id,
        end_id,
        source_vocabulary_size=None,
        name=None,
        **options,
    ):
        super().__init__(name=name)
        # The families make every weight as they are constructed, so that any call may come first.
        self.built = True
        require_sizes(vocabulary_size=vocabulary_size)
        if source_vocabulary_size is None:
            source_vocabulary_size = vocabulary_size
        require_sizes(source_vocabulary_size=source_vocabulary_size)
        size = min(vocabulary_size, source_vocabulary_size)
        for option, value in (("pad_id", pad_id), ("start_id", start_id), ("end_id", end_id)):
            require(
                option,
                value,
                f"an int in [0, vocabulary_size={size})",
                lambda v: _is_integer(v) and 0 <= v < size,
            )
        if len({pad_id, start_id, end_id}) < 3:
            raise ValueError(
                "`pad_id`, `start_id` and `end_id` must differ. "
                f"Received: pad_id={pad_id}, start_id={start_id}, end_id={end_id}"
            )
        self.vocabulary_size = vocabulary_size
        self.source_vocabulary_size = source_vocabulary_size
        self.pad_id = pad_id
        self.start_id = start_id
        self.end_id = end_id
        self._config = {
            "vocabulary_size": vocabulary_size,
            "pad_id": pad_id,
            "start_id": start_id,
            "end_id": end_id,
            "source_vocabulary_size": source_vocabulary_size,
            # As lists, which is how JSON gives tuples back.
            **{k: list(v) if isinstance(v, tuple) else v for k, v in options.items()},
        }

    def call(self, inputs, training=False, return_attention=False):
        raise NotImplementedError

    def encode(self, source):
        raise NotImplementedError

    def decode_step(self, token, state):
        raise NotImplementedError

    def grow(self, state, length):
        """The state with room for `length` tokens more; the same one where nothing grows."""
        return state

    def step(self, token, state, return_attention=False):
        """`decode_step` where `grow` has made room: the state keeps its shapes."""
        self.require_attention(return_attention)
        return self.decode_step(token, state)

    def get_config(self):
        return {**self._config, "name": self.name}

    def require_attention(self, return_attention):
        """Raises ValueError where attention is asked of a model that has none."""
        if return_attention and not self.has_attention:
            raise ValueError(
                "`return_attention` must be False for a model without attention. "
                f"Received: return_attention=True for {self.name!r}"
            )

    def padding_bias(self, source):
        """What attention scores are raised by: 0 at tokens, a large negative number at padding.

        Args:
            source: int32 ids `(batch, source_length)`.

        Returns:
            `(batch, source_length)` in the compute dtype. exp of it is exactly zero at padding.
        """
        return ops.cast(ops.equal(source, self.pad_id), self.compute_dtype) * PADDING_BIAS


# Small enough for float16 (-65504 at the least), large enough that exp gives zero.
PADDING_BIAS = -3e4
