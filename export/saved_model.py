"""Export of a model as a SavedModel, text to text, for TensorFlow Serving."""

import os
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_text as tf_text

from seq2lite.zoo.contract import Seq2Seq
from seq2lite.zoo.search.beam import beam_search
from seq2lite.zoo.search.greedy import greedy_search

from . import checks
from .conversion.precision import in_float32
from .conversion.saved_model import save
from .runtime.tokenizer import Tokenizer
from .runtime.unicode import STRIPPED
from .system.atomic import write_atomically


def to_saved_model(
    model: Seq2Seq,
    path: str | os.PathLike,
    tokenizer: Tokenizer | Sequence[Tokenizer] | None = None,
    *,
    max_source_length: int | None = None,
    max_target_length: int | None = None,
    num_beams: int = 1,
    length_penalty: float = 0.6,
) -> None:
    """Export a model as a SavedModel that contains its tokenizer and its search.

    | signature | inputs | outputs |
    |---|---|---|
    | `serving_default` | `text` string `(batch,)` | `text` string `(batch,)` |
    | `generate` | `source` int32 `(batch, source_length)` | `tokens` int32 `(batch, length)`, `length` int32 `(batch,)` |

    Text is cleaned as by a `Runner`. `generate` is greedy search. A process must `import
    tensorflow_text` before it loads the SavedModel. TensorFlow Serving contains the ops.

    Args:
        model: `zoo.Seq2Seq`.
        path: Folder to write. An existing SavedModel is replaced. Anything else at `path` is an
            error.
        tokenizer: The `Tokenizer` that the model was trained with, or a pair (source, target).
            Default: the one that is attached to the model (`Seq2Seq.attach_tokenizer`).
        max_source_length: int, maximum number of source tokens, including the end. Longer text is
            cut. Default: that of the attached tokenizer, else 128.
        max_target_length: int, maximum number of generated tokens. Default: that of the attached
            tokenizer, else `max_source_length`.
        num_beams: int, default 1, beam size of `serving_default`. 1 is greedy search.
        length_penalty: float, default 0.6, of beam search. See `zoo.beam_search`.

    Raises:
        ValueError: An argument is invalid. Nothing has been written.

    Example:
        >>> from seq2lite import export
        >>> import tensorflow as tf
        >>> export.to_saved_model(model, folder / "1", tokenizer)
        >>> served = tf.saved_model.load(folder / "1").signatures["serving_default"]
        >>> served(text=tf.constant(["Open File", ""]))["text"].shape
        TensorShape([2])
    """
    checks.check_model(model)
    settings = checks.text_settings(
        model,
        tokenizer,
        max_source_length=max_source_length,
        max_target_length=max_target_length,
    )
    checks.check_saved_model_path(path)
    search = checks.check_beams(num_beams, length_penalty)
    served = _Served(in_float32(model), settings.tokenizers, *search, **settings.limits)
    write_atomically(path, lambda partial: save(served, partial))


# The characters that `clean` strips. The strip of TensorFlow removes ASCII spaces only.
_BLANK = "[" + "".join(rf"\x{{{ord(character):x}}}" for character in STRIPPED) + "]"


class _Served(tf.Module):
    def __init__(
        self, model, tokenizers, num_beams, length_penalty, max_source_length, max_target_length
    ):
        super().__init__()
        self.weights = [variable.value for variable in model.variables]
        # Attributes, because the SavedModel contains only resources that the module tracks. Names,
        # because a loaded SavedModel shares resources of the same name.
        self.source_tokenizer, self.target_tokenizer = (
            tf_text.SentencepieceTokenizer(side.model_bytes, name=name)
            for name, side in (("source", tokenizers.source), ("target", tokenizers.target))
        )

        @tf.function(
            input_signature=[tf.TensorSpec((None, None), tf.int32, name="source")], autograph=False
        )
        def generate(source):
            tokens, lengths = greedy_search(model, source, max_target_length)
            return {"tokens": tokens, "length": lengths}

        def best(source):
            if num_beams == 1:
                result = generate(source)
                return result["tokens"], result["length"]
            beams = {"num_beams": num_beams, "length_penalty": length_penalty}
            tokens, lengths, _ = beam_search(model, source, max_target_length, **beams)
            return tokens[:, 0], lengths[:, 0]

        @tf.function(
            input_signature=[tf.TensorSpec((None,), tf.string, name="text")], autograph=False
        )
        def translate(text):
            text = tf.strings.regex_replace(text, rf"^{_BLANK}+|{_BLANK}+$", "")
            text = tf_text.normalize_utf8(text, "NFC")
            ids = self.source_tokenizer.tokenize(text)[:, : max_source_length - 1]
            end = tf.fill([tf.size(text), 1], model.end_id)
            source = tf.concat([ids, end], axis=1).to_tensor(model.source_spec.padding)
            tokens, lengths = best(source)
            tokens = tf.RaggedTensor.from_tensor(tokens, lengths=lengths)
            translated = self.target_tokenizer.detokenize(tokens)
            return {"text": tf.where(tf.equal(text, ""), "", translated)}

        self.functions = {"serving_default": translate, "generate": generate}
