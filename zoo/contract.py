"""The contract between model families and everything that uses them: search, recipes and export."""

from collections.abc import Collection
from dataclasses import dataclass
from numbers import Integral
from typing import Any, final

import keras
from keras import ops

from .checks import (
    is_number,
    is_positive_integer,
    plain,
    require,
    require_one_of,
    require_sizes,
)
from .layers.softmax import mask_bias
from .shapes import Tensor


@dataclass(frozen=True)
class SourceSpec:
    """Data type, shape and padding of the sources that a model reads.

    Args:
        dtype: `"int32"` for token ids, `(batch, length)`; `"float32"` for features, `(batch, length,
            features)`.
        padding: Value that fills the end of shorter sources: an id, or a number such as 0.0. A
            feature vector is padding if all its features equal it.
        features: Number of features; None for ids.

    Raises:
        ValueError: The data type is another one, or does not suit `features`.

    Example:
        >>> from seq2lite import zoo
        >>> zoo.SourceSpec("float32", padding=0.0, features=80).shape(batch=1)
        (1, None, 80)
    """

    dtype: str
    padding: int | float
    features: int | None = None

    def __post_init__(self):
        require_one_of("dtype", self.dtype, ("int32", "float32"))
        expected, is_valid = "None", self.features is None
        if self.dtype == "float32":
            expected, is_valid = "a positive int", is_positive_integer(self.features)
        require(is_valid, f"{expected} with dtype={self.dtype!r}", features=self.features)
        require(is_number(self.padding), "a number", padding=self.padding)

    def shape(self, batch: int | None = None, length: int | None = None) -> tuple:
        """Shape of a source; None for a size that is not known."""
        return (batch, length) if self.features is None else (batch, length, self.features)


class Seq2Seq(keras.Model):
    """Base class of every model of the zoo.

    A family implements these methods. Shapes: `source` as in `source_spec`, `target (batch,
    target_length)` and `token (batch,)`, the last two int32 ids.

    | method | returns |
    |---|---|
    | `model({"source", "target"})` | logits `(batch, target_length, vocabulary_size)` |
    | `model.encode(source)` | the decoder's first state: a flat dict, name to tensor, batch first |
    | `model.step(token, state)` | logits `(batch, vocabulary_size)` and the next state |
    | `model.grow(state, length)` | the state with free slots for `length` more steps (optional) |

    `decode_step` is derived from them: one `step`, then `grow` by one slot. The state that `encode`
    returns has one free slot, so that a `step` can follow. Decoding step by step gives the logits of
    the first call (teacher forcing) on the same ids. All state is explicit: no layer keeps anything
    between calls. A step returns a tensor that it does not change as the same object, so that a loop
    on a device need not copy it.

    Use `keras.ops` for control flow and shapes: exports trace a model without autograph, as Keras's
    `fit` does.

    Give each layer a `name`: checkpoints are keyed by the path of each variable, and Keras numbers
    layers without a name in the order in which a process creates them.

    A family with attention sets `has_attention`. It accepts `return_attention=True` in the first call,
    which then also returns weights `(batch, target_length, source_length)`, and in `step`, which also
    returns weights `(batch, source_length)`. Each row sums to one and is zero at padding.

    Args:
        vocabulary_size: Number of token ids of the target.
        pad_id: Id that fills the end of shorter sequences; padding changes no result. Differs from
            `end_id`.
        start_id: Id that begins a target. May equal `pad_id` or `end_id`.
        end_id: Id that ends a source and a target.
        source_vocabulary_size: Number of the source's token ids. Default: `vocabulary_size`.
        name: Name of the model.
        options: The family's other arguments, saved with the model.

    Attributes:
        options: dict of the family's other arguments, with Python's numbers for NumPy's.
        has_attention: Whether `return_attention=True` is supported.
        max_positions: Maximum number of tokens of a source or a target; None for no limit.
        peak_learning_rate: Learning rate at the end of the warm-up that suits the family.
        shared_state: Names of the state's tensors that depend on the source and on the number of
            steps only, not on the generated tokens. Beam search does not reorder them.
    """

    has_attention: bool = False
    max_positions: int | None = None
    peak_learning_rate: float = 2e-3
    shared_state: Collection[str] = frozenset()

    def __init__(
        self,
        *,
        vocabulary_size: int,
        pad_id: int,
        start_id: int,
        end_id: int,
        source_vocabulary_size: int | None = None,
        name: str | None = None,
        **options: Any,
    ):
        super().__init__(name=name)
        # A family creates its weights in its constructor, so that any method may be called first.
        self.built = True
        if source_vocabulary_size is None:
            source_vocabulary_size = vocabulary_size
        require_sizes(
            vocabulary_size=vocabulary_size, source_vocabulary_size=source_vocabulary_size
        )
        size = min(vocabulary_size, source_vocabulary_size)
        ids = {"pad_id": pad_id, "start_id": start_id, "end_id": end_id}
        for option, value in ids.items():
            expected = f"an int in [0, vocabulary_size={size})"
            require(is_number(value, Integral) and 0 <= value < size, expected, **{option: value})
        require(pad_id != end_id, f"another id than end_id={end_id}", pad_id=pad_id)
        self.vocabulary_size = int(vocabulary_size)
        self.source_vocabulary_size = int(source_vocabulary_size)
        self.pad_id, self.start_id, self.end_id = map(int, ids.values())
        self.options = plain(options)

    def call(
        self, inputs: dict[str, Tensor], training: bool = False, return_attention: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        raise NotImplementedError

    def encode(self, source: Tensor) -> dict[str, Tensor]:
        raise NotImplementedError

    def step(
        self, token: Tensor, state: dict[str, Tensor], return_attention: bool = False
    ) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def grow(self, state: dict[str, Tensor], length: int) -> dict[str, Tensor]:
        """Add free slots for `length` steps to the state; the same state if it does not grow."""
        return state

    @final
    def decode_step(
        self, token: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run `step`, then add the free slot that the next step needs."""
        logits, state = self.step(token, state)
        return logits, self.grow(state, 1)

    @property
    def source_spec(self) -> SourceSpec:
        """The `SourceSpec` of the model's sources; here token ids."""
        return SourceSpec("int32", padding=self.pad_id)

    def source_mask(self, source: Tensor) -> Tensor:
        """Bool `(batch, length)`: True at tokens, False at padding."""
        spec = self.source_spec
        is_token = ops.not_equal(source, spec.padding)
        if spec.features is None:
            return is_token
        # Not `ops.any`: microcontrollers have no REDUCE_ANY.
        return ops.greater(ops.max(ops.cast(is_token, "float32"), axis=-1), 0)

    def padding_bias(self, source: Tensor) -> Tensor:
        """Bias of attention scores: 0 at tokens and a large negative number at padding.

        Args:
            source: A source as in `source_spec`.

        Returns:
            `(batch, source_length)` in the compute dtype. Attention weights are exactly zero at
            padding, whatever the scores are.
        """
        return mask_bias(self.source_mask(source), self.compute_dtype)

    @property
    def target_padding(self) -> int | None:
        """Id whose embedding in the target is zero: `pad_id`, or None if targets start with it."""
        return None if self.start_id == self.pad_id else self.pad_id

    def require_attention(self, return_attention: bool) -> None:
        """Raise ValueError if attention is requested from a model that has none."""
        expected = f"False for {self.name!r}, a model without attention"
        holds = self.has_attention or not return_attention
        require(holds, expected, return_attention=return_attention)

    def get_config(self) -> dict[str, Any]:
        names = "vocabulary_size", "pad_id", "start_id", "end_id", "source_vocabulary_size"
        config = {name: getattr(self, name) for name in names}
        # Tuples become lists, as they do in JSON.
        config |= {k: list(v) if isinstance(v, tuple) else v for k, v in self.options.items()}
        frozen = [path for path, layer in self._layers_by_path() if not layer.trainable]
        return {**config, **({"frozen_layers": frozen} if frozen else {}), "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        frozen = config.pop("frozen_layers", None)
        model = cls(**config)
        if frozen is not None:
            layers = model._layers_by_path()
            missing = sorted(set(frozen) - {path for path, _ in layers})
            require(
                not missing,
                f"paths of layers of {cls.__name__}, which lacks {', '.join(missing)}: give each "
                "layer a `name`, because Keras numbers layers without one",
                frozen_layers=frozen,
            )
            for path, layer in layers:
                layer.trainable = path not in frozen
        return model

    def _layers_by_path(self):
        """(path, layer) of each layer with weights, containers first; the model's path is ""."""
        layers = self._flatten_layers(include_self=False)
        named = ((layer.path, layer) for layer in layers if layer.path and layer.weights)
        return [("", self), *named]
