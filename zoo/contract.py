"""The contract between model families and everything that uses them: search, recipes and export."""

from collections.abc import Collection, Sequence
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, final

import keras
from keras import ops

from seq2lite.export.runtime.runner import Runner
from seq2lite.export.runtime.tokenizer import Tokenizer, Tokenizers

from .checks import is_number, plain, require, require_sizes
from .inputs import CheckedArrays
from .layers.softmax import mask_bias
from .shapes import Tensor
from .source_spec import SourceSpec
from .text import TextSettings


class Seq2Seq(CheckedArrays, keras.Model):
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
        text: The `TextSettings` that `attach_tokenizer` sets; None without a tokenizer.
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
        self.text: TextSettings | None = None

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

    def attach_tokenizer(
        self,
        tokenizer: Tokenizer | Sequence[Tokenizer] | Tokenizers,
        *,
        max_source_length: int = 128,
        max_target_length: int | None = None,
        num_beams: int = 4,
        length_penalty: float = 0.6,
    ) -> None:
        """Attach the tokenizer of the training, so that the model reads and generates text.

        `generate` and `runner` then work. A `.keras` file contains the tokenizer and these settings,
        and the functions of `export` use them by default.

        Args:
            tokenizer: The `Tokenizer` that the model was built for, or a pair (source, target).
            max_source_length: Maximum number of source tokens, including the end. Longer text is cut,
                with a warning. Default: 128.
            max_target_length: Maximum number of generated tokens. Default: `max_source_length`.
            num_beams: Beam size of `generate`; 1 is greedy search. Default: 4.
            length_penalty: Exponent of the length penalty, see `beam_search`. Default: 0.6.

        Raises:
            ValueError: The tokenizer has other ids than the model, a number is out of its range, or
                the model reads float features.

        Example:
            >>> from seq2lite import zoo
            >>> model = zoo.build("rnn_tiny", **tokenizer.vocabulary)
            >>> model.attach_tokenizer(tokenizer, max_source_length=40, num_beams=1)
            >>> len(model.generate(["Open File", "Close"]))
            2
        """
        self.text = TextSettings.of(
            self,
            tokenizer,
            max_source_length=max_source_length,
            max_target_length=max_target_length,
            num_beams=num_beams,
            length_penalty=length_penalty,
        )
        self.__dict__.pop("runner", None)

    @cached_property
    def runner(self) -> Runner:
        """The `Runner` of this model: its methods are those of a bundle's, such as `sample`.

        Raises:
            ValueError: No tokenizer is attached.
        """
        if self.text is None:
            raise ValueError(
                f"`model` must have a tokenizer to read text. Received: {self.name!r} without one. "
                "Call model.attach_tokenizer(tokenizer) with the tokenizer of the training"
            )
        return self.text.runner(self)

    def generate(
        self,
        texts: Sequence[str],
        max_length: int | None = None,
        batch_size: int | None = None,
        **options: Any,
    ) -> list[str]:
        """Generate a target for each source text with the attached tokenizer and search.

        Args:
            texts: Source texts. Blank text gives "".
            max_length: Maximum number of tokens of a target. Default: that of `attach_tokenizer`.
            batch_size: Number of texts per batch.
            **options: Other arguments of `Runner.generate`, such as `num_beams`.

        Returns:
            The targets, in the order of `texts`.

        Raises:
            ValueError: No tokenizer is attached, or an argument is invalid.
        """
        return self.runner.generate(texts, max_length, batch_size, **options)

    def save_assets(self, path: str) -> None:
        """Write the attached tokenizer and settings; Keras calls this in `save`."""
        if self.text is not None:
            self.text.save(Path(path))

    def load_assets(self, path: str | None) -> None:
        """Attach the saved tokenizer and settings; Keras calls this in `load_model`."""
        if path is not None:
            self.__dict__.pop("runner", None)
            self.text = TextSettings.load(Path(path), self)

    def export(self, filepath: str | Path, *args: Any, **kwargs: Any) -> None:
        """Refuse Keras's export without `input_signature`: the file could not generate."""
        if kwargs.get("input_signature") is None:
            raise ValueError(
                "`model` must be exported with its search, by seq2lite.export: to_bundle (text in, "
                "text out, checked), to_tflite (ids) or to_saved_model (TensorFlow Serving). "
                f"Received: model.export({str(filepath)!r}). Keras's export writes the logits of "
                "teacher forcing only, and needs `input_signature`"
            )
        super().export(filepath, *args, **kwargs)

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Refuse Keras's quantization, whose models can be neither loaded nor exported."""
        raise ValueError(
            "`model` must be quantized in its export, for example "
            "export.to_bundle(model, path, tokenizer, held_out, quantization='int8'). Received: "
            "model.quantize(…), after which the model can be neither loaded nor exported"
        )

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
