"""Drawings of a model's architecture."""

from ..checks import require
from ..rnn.model import RNNSeq2Seq
from ..transformer.model import Transformer
from .rnn import RNNPicture
from .transformer import TransformerPicture


def plot_architecture(model, *, ax=None):
    """Draws a model of the zoo from what it is: its layers, sizes, and where attention goes.

    An RNN Seq2Seq is unrolled over three steps, as in Sutskever et al. 2014
    (https://arxiv.org/abs/1409.3215, figure 1) and Luong et al. 2015
    (https://arxiv.org/abs/1508.04025, figures 2 and 4); of more than four layers, equal ones that
    follow each other are drawn once, with their number. A Transformer is drawn as in Vaswani et al.
    2017 (https://arxiv.org/abs/1706.03762, figure 1). Colours are those of Okabe and Ito (2008),
    which colour-blind readers tell apart. Dropout is left out.

    Args:
        model: An RNN Seq2Seq or a Transformer of the zoo. Its weights are not read: one built in a
            `keras.StatelessScope`, which allocates none, will do.
        ax: matplotlib Axes to draw on, into which the picture is scaled, text too. Default: those of
            a new `Figure` of the picture's own size, in which text is of 8 points or more.

    Returns:
        The Axes; `ax.figure.savefig("model.svg")` writes them.

    Raises:
        ValueError: `model` is of neither family.

    Example:
        >>> from seq2lite import zoo
        >>> from seq2lite.zoo import plot
        >>> model = zoo.transformer(vocabulary_size=50, num_layers=(3, 1), model_dim=16,
        ...                         num_heads=2, feed_forward_dim=32)
        >>> ax = plot.plot_architecture(model)
        >>> [text.get_text() for text in ax.texts if "attention" in text.get_text()]
        ['Self-attention', 'Masked self-attention', 'Cross-attention']
    """
    families = {RNNSeq2Seq: RNNPicture, Transformer: TransformerPicture}
    family = next((family for family in families if isinstance(model, family)), None)
    require("model", model, "an RNN Seq2Seq or a Transformer of the zoo", lambda _: family)
    return families[family](model, ax).draw()
