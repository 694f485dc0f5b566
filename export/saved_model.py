"""From a model to a SavedModel: text in, text out, for TensorFlow Serving."""

from pathlib import Path

import tensorflow as tf
import tensorflow_text as tf_text

from seq2lite.zoo.search.greedy import greedy_search

from .checks import check_model, check_tokenizer, length_limits
from .conversion.precision import in_float32
from .conversion.saved_model import save
from .system.atomic import write_atomically


def to_saved_model(model, path, tokenizer, *, max_source_length=128, max_target_length=None):
    """Writes a SavedModel that takes text and gives text, tokenizer and greedy search inside.

    | signature | takes | gives |
    |---|---|---|
    | `serving_default` | `text` string `(batch,)` | `text` string `(batch,)` |
    | `generate` | `source` int32 `(batch, source_length)` | `tokens` int32 `(batch, length)`, `length` int32 `(batch,)` |

    A process that loads it must `import tensorflow_text` first; TensorFlow Serving has its ops.

    Args:
        model: A `zoo.Seq2Seq`.
        path: Folder to write. A SavedModel there is replaced; anything else is left.
        tokenizer: The `Tokenizer` that the model was trained with.
        max_source_length: Most tokens of a source, its end among them; longer text is cut.
        max_target_length: Most tokens to generate. Default: `max_source_length`.

    Raises:
        ValueError: An argument is not as above; nothing was written.

    Example:
        >>> from seq2lite import export
        >>> import tensorflow as tf
        >>> export.to_saved_model(model, folder / "1", tokenizer)
        >>> served = tf.saved_model.load(folder / "1").signatures["serving_default"]
        >>> served(text=tf.constant(["Open File", ""]))["text"].shape
        TensorShape([2])
    """
    check_model(model)
    check_tokenizer(model, tokenizer)
    path = Path(path)
    if path.exists() and not (path / "saved_model.pb").is_file():
        raise ValueError(
            f"`path` must be free, or a SavedModel, which is replaced. Received: {path}"
        )
    limits = length_limits(max_source_length, max_target_length, model.max_positions)
    served = _Served(in_float32(model), tokenizer, **limits)
    write_atomically(path, lambda partial: save(served, partial))


# What `str.strip` takes away: TensorFlow's own strip knows ASCII spaces only.
_BLANK = r"[\p{Z}\t-\r\x1c-\x1f\x{85}]*"


class _Served(tf.Module):
    def __init__(self, model, tokenizer, max_source_length, max_target_length):
        super().__init__()
        self.weights = [variable.value for variable in model.variables]
        # Tracked here: its model is a resource that the SavedModel must carry.
        self.tokenizer = tf_text.SentencepieceTokenizer(tokenizer.model_bytes)

        @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32, name="source")])
        def generate(source):
            tokens, lengths = greedy_search(model, source, max_target_length)
            return {"tokens": tokens, "length": lengths}

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
        def translate(text):
            text = tf_text.normalize_utf8(text, "NFC")
            ids = self.tokenizer.tokenize(text)[:, : max_source_length - 1]
            end = tf.fill([tf.size(text), 1], tokenizer.end_id)
            source = tf.concat([ids, end], axis=1).to_tensor(tokenizer.pad_id)
            result = generate(source)
            tokens = tf.RaggedTensor.from_tensor(result["tokens"], lengths=result["length"])
            translated = self.tokenizer.detokenize(tokens)
            blank = tf.strings.regex_full_match(text, _BLANK)
            return {"text": tf.where(blank, "", translated)}

        self.functions = {"serving_default": translate, "generate": generate}
