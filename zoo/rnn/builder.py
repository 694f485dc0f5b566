"""Builder of RNN Seq2Seq models."""

from .model import RNNSeq2Seq


def rnn_seq2seq(
    *,
    vocabulary_size: int,
    source_vocabulary_size: int | None = None,
    cell: str = "lstm",
    num_layers: int | tuple[int, int] = 2,
    embedding_dim: int = 512,
    hidden_dim: int = 512,
    encoder_dim: int | None = None,
    bidirectional: bool | str = True,
    reverse_source: bool = False,
    residual_start: int | None = None,
    bridge: str = "dense",
    attention: str | None = "general",
    query: str | None = None,
    input_feeding: bool = False,
    read_out: str | None = "tanh",
    read_out_dim: int | None = None,
    embeddings: str = "shared",
    scale_embeddings: bool = False,
    dropout: float = 0.2,
    pad_id: int = 0,
    start_id: int = 2,
    end_id: int = 3,
    name: str = "rnn_seq2seq",
) -> RNNSeq2Seq:
    """Build a recurrent encoder-decoder, with or without attention.

    | attention | score of a query q and an encoder output m | source |
    |---|---|---|
    | `None` | none: only the decoder's first state depends on the source | Sutskever 2014, https://arxiv.org/abs/1409.3215 |
    | `"fixed"` | none: the encoder's last state is the context of every step | Cho 2014, https://arxiv.org/abs/1406.1078 |
    | `"additive"` | v tanh(W q + U m) | Bahdanau 2015, https://arxiv.org/abs/1409.0473, appendix A.1.2 |
    | `"dot"` | q m | Luong 2015, https://arxiv.org/abs/1508.04025, equation 8 |
    | `"general"` | q W m | Luong 2015, equation 8 |
    | `"concat"` | v tanh(W [q; m]): additive, with Luong's query | Luong 2015, equation 8 |

    | query | q | the context is an input of the read-out and of | source |
    |---|---|---|---|
    | `"previous"` | top state before the step | the first layer, with the token | Bahdanau 2015 |
    | `"current"` | top state after the step | nothing else | Luong 2015 |
    | `"bottom"` | first layer's state before the step | every layer | Wu 2016 (GNMT), https://arxiv.org/abs/1609.08144, section 3 |

    | read_out | input of the output projection | source |
    |---|---|---|
    | `"tanh"` | tanh(W [hidden; context]) | Luong 2015, equation 5 |
    | `"maxout"` | maximum of each pair of U hidden + V token + C context | Bahdanau 2015, appendix A.2.2 |
    | `None` | the hidden state | Sutskever 2014, Wu 2016 |

    | bridge | the decoder's first state, layer by layer from the top | source |
    |---|---|---|
    | `"dense"` | tanh of a linear map of the encoder's last state | Bahdanau 2015, for both directions |
    | `"backward"` | the same for the backward direction alone, which must exist | Bahdanau 2015, appendix A.2.2 |
    | `"copy"` | the encoder's last state | Sutskever 2014, Luong 2015 |
    | `"zeros"` | zeros | |

    There are three differences from the papers. Additive and concat scores have a bias inside the
    tanh, and so do the read-outs' maps. The read-out reads the state after the step, as in Bahdanau's
    equation 4; his appendix reads the one before it. The fixed context is the encoder's last state,
    without Cho's tanh of a linear map.

    Args:
        vocabulary_size: Number of token ids of the target.
        source_vocabulary_size: Number of token ids of the source. Default: `vocabulary_size`.
        cell: `"lstm"` (Hochreiter and Schmidhuber 1997), `"gru"` (Cho et al. 2014 with the reset
            gate after the product, as in cuDNN) or `"gru_reset_before"` (as published).
        num_layers: Number of layers of the encoder and of the decoder, or a pair (encoder, decoder).
        embedding_dim: Size of embeddings.
        hidden_dim: Size of the decoder's hidden states, and inner size of additive scores.
        encoder_dim: Size of an encoder layer's outputs, both directions together. Default:
            `hidden_dim`.
        bidirectional: Whether encoder layers read in both directions, each of half of `encoder_dim`,
            or forward only. `"first"`: the first layer reads in both directions, each of the full
            `encoder_dim`, the others forward (GNMT, section 3.2).
        reverse_source: Whether to read the source's tokens, except its end, from the last to the
            first (Sutskever 2014, section 3.3).
        residual_start: First layer, counted from 1, of encoder and decoder that adds its input to its
            output; 3 in GNMT (section 3.1). Default: no layer does.
        bridge: An option of the table.
        attention: An option of the table.
        query: An option of the table. Default: `"previous"` for additive scores, else `"current"`.
        input_feeding: Whether the first layer also reads the read-out of the step before (Luong
            2015, section 3.3).
        read_out: An option of the table.
        read_out_dim: Size of the read-out. Default: `embedding_dim`.
        embeddings: `"shared"`: one table for source, target and output; `"shared_target"`: one for
            target and output; `"separate"`: three.
        scale_embeddings: Whether to multiply the first layers' embeddings by sqrt(embedding_dim), as
            Vaswani 2017 does (section 3.4). A table that is also the output projection has small
            values, which hardly affect the gates. Scaling speeds up the first hundreds of steps.
        dropout: Rate in [0, 1), on embeddings, between layers and on the read-out.
        pad_id: Id of padding.
        start_id: Id that begins a target.
        end_id: Id that ends a source and a target.
        name: Name of the model.

    Returns:
        A `Seq2Seq` model: `{"source": (batch, source_length), "target": (batch, target_length)}`
        to logits `(batch, target_length, vocabulary_size)`. It has attention (`return_attention=True`)
        with one of the four scores.

    Raises:
        ValueError: An option is not as above, or does not fit another; the message names it.

    Example:
        >>> import numpy as np
        >>> from seq2lite import zoo
        >>> model = zoo.rnn_seq2seq(vocabulary_size=50, cell="gru", num_layers=1,
        ...                         embedding_dim=16, hidden_dim=16, attention="additive")
        >>> source, target = np.array([[5, 6, 3]]), np.array([[2, 7]])
        >>> tuple(model({"source": source, "target": target}).shape)
        (1, 2, 50)
    """
    return RNNSeq2Seq(**locals())
