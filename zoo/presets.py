"""Named sizes of the two families."""

from .rnn import rnn_seq2seq
from .transformer import transformer

BUILDERS = {"transformer": transformer, "rnn_seq2seq": rnn_seq2seq}

# tiny: minutes of training on two cores. small: an hour. base: real use, as published.
PRESETS = {
    "transformer_tiny": {
        "builder": "transformer",
        "num_layers": 2,
        "model_dim": 192,
        "num_heads": 4,
        "feed_forward_dim": 768,
    },
    "transformer_small": {
        "builder": "transformer",
        "num_layers": 4,
        "model_dim": 256,
        "num_heads": 4,
        "feed_forward_dim": 1024,
    },
    "transformer_base": {
        "builder": "transformer",
        "num_layers": 6,
        "model_dim": 512,
        "num_heads": 8,
        "feed_forward_dim": 2048,
    },
    "rnn_tiny": {
        "builder": "rnn_seq2seq",
        "cell": "gru",
        "num_layers": 1,
        "embedding_dim": 192,
        "hidden_dim": 256,
        "attention": "general",
    },
    "rnn_small": {
        "builder": "rnn_seq2seq",
        "cell": "lstm",
        "num_layers": 2,
        "embedding_dim": 256,
        "hidden_dim": 512,
        "attention": "general",
    },
    "rnn_base": {
        "builder": "rnn_seq2seq",
        "cell": "lstm",
        "num_layers": 4,
        "embedding_dim": 512,
        "hidden_dim": 1024,
        "attention": "general",
    },
}


def list_presets():
    """The names that `build` takes.

    Example:
        >>> from seq2lite import zoo
        >>> "transformer_tiny" in zoo.list_presets()
        True
    """
    return sorted(PRESETS)


def build(preset, **options):
    """Builds a model of a named size.

    Args:
        preset: One of `list_presets()`.
        options: `vocabulary_size`, and any other argument of the preset's builder, which then
            takes the place of the preset's.

    Returns:
        A `Seq2Seq` model.

    Raises:
        ValueError: There is no such preset.

    Example:
        >>> from seq2lite import zoo
        >>> zoo.build("rnn_tiny", vocabulary_size=50, attention="additive").name
        'rnn_tiny'
    """
    if preset not in PRESETS:
        raise ValueError(f"`preset` must be one of {list_presets()}. Received: preset={preset!r}")
    settings = {"name": preset, **PRESETS[preset], **options}
    return BUILDERS[settings.pop("builder")](**settings)
