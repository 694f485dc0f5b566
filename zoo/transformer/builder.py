"""Builder of Transformers."""

from .model import Transformer


def transformer(
    *,
    vocabulary_size: int,
    source_vocabulary_size: int | None = None,
    num_layers: int | tuple[int, int] = 6,
    model_dim: int = 512,
    num_heads: int = 8,
    num_key_heads: int | None = None,
    feed_forward_dim: int = 2048,
    activation: str = "relu",
    norm: str = "layer",
    norm_first: bool = True,
    positions: str = "sinusoidal",
    max_positions: int | None = None,
    decoder: str = "attention",
    embeddings: str = "shared",
    dropout: float = 0.1,
    pad_id: int = 0,
    start_id: int = 2,
    end_id: int = 3,
    name: str = "transformer",
) -> Transformer:
    """Build a Transformer (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    It has multi-head scaled dot-product attention (equation 1) and feed-forward layers (equation 2),
    each with a residual and a normalization. The defaults are the paper's base model with pre-norm,
    which trains more stably. The preset `"transformer_base"` has the paper's post-norm.

    Args:
        vocabulary_size: Number of token ids of the target.
        source_vocabulary_size: Number of token ids of the source. Default: `vocabulary_size`.
        num_layers: Number of layers of the encoder and of the decoder, or a pair (encoder, decoder).
            A deep encoder and a shallow decoder, `(6, 2)`, are faster at the same quality (Kasai et
            al. 2021, https://arxiv.org/abs/2006.10369), because a step runs the decoder only.
        model_dim: Size of activations and embeddings (the paper's d_model).
        num_heads: Number of attention heads (h); divides `model_dim`.
        num_key_heads: Number of heads of keys and values, shared by groups of `num_heads /
            num_key_heads` query heads (grouped-query attention, Ainslie et al. 2023,
            https://arxiv.org/abs/2305.13245); 1 is multi-query attention. Default: `num_heads`.
        feed_forward_dim: Inner size of the feed-forward layers (d_ff).
        activation: Activation of the feed-forward layers: `"relu"` (equation 2), `"gelu"` (Hendrycks
            and Gimpel 2016) or `"swiglu"` (Shazeer 2020, https://arxiv.org/abs/2002.05202). SwiGLU has
            a third matrix: at two thirds of `feed_forward_dim` it has the parameters of the others.
        norm: `"layer"` (Ba et al. 2016) or `"rms"` (Zhang and Sennrich 2019,
            https://arxiv.org/abs/1910.07467).
        norm_first: Whether to normalize before each sub-layer (pre-norm; Xiong et al. 2020,
            https://arxiv.org/abs/2002.04745) or, as in the paper, after each residual.
        positions: `"sinusoidal"` (section 3.5), `"learned"` (a table of `max_positions`),
            `"relative"` (T5's buckets, Raffel et al. 2020, https://arxiv.org/abs/1910.10683) or
            `"rotary"` (Su et al. 2021, https://arxiv.org/abs/2104.09864).
        max_positions: Maximum number of tokens of a source, and of a target with its start, with
            learned positions; None with others. A step beyond it uses the last position again.
        decoder: How a decoder layer reads the target: `"attention"`, the paper's masked
            self-attention, or `"ssru"`, a recurrence whose step costs the same at any length (Kim et
            al. 2019, https://aclanthology.org/D19-5632).
        embeddings: `"shared"`: one table for source, target and output (section 3.4);
            `"shared_target"`: one for target and output; `"separate"`: three.
        dropout: Rate in [0, 1), on embeddings, on each sub-layer's output and inside the
            feed-forward layers.
        pad_id: Id of padding.
        start_id: Id that begins a target.
        end_id: Id that ends a source and a target.
        name: Name of the model.

    Returns:
        A `Seq2Seq` model: `{"source": (batch, source_length), "target": (batch, target_length)}`
        to logits `(batch, target_length, vocabulary_size)`. The weights of `return_attention=True`
        are those of the last decoder layer over the source, averaged over all heads.

    Raises:
        ValueError: An option is not as above; the message names it.

    Example:
        >>> import numpy as np
        >>> from seq2lite import zoo
        >>> model = zoo.transformer(vocabulary_size=50, num_layers=(2, 1), model_dim=16, num_heads=2,
        ...                         feed_forward_dim=32, decoder="ssru")
        >>> source, target = np.array([[5, 6, 3]]), np.array([[2, 7]])
        >>> tuple(model({"source": source, "target": target}).shape)
        (1, 2, 50)
    """
    return Transformer(**locals())
