"""Diagrams of model architectures."""

from matplotlib.axes import Axes

from ..checks import require
from ..contract import Seq2Seq
from ..rnn.model import RNNSeq2Seq
from ..transformer.model import Transformer
from .rnn import RNNDrawing
from .transformer import TransformerDrawing


def plot_architecture(model: Seq2Seq, *, ax: Axes | None = None) -> Axes:
    """Draw the layers, sizes and attention of a model.

    An RNN Seq2Seq is unrolled over three steps, as in Sutskever et al. 2014
    (https://arxiv.org/abs/1409.3215, figure 1) and Luong et al. 2015
    (https://arxiv.org/abs/1508.04025, figures 2 and 4). If a stack has more than four layers, runs of
    equal layers are drawn once, with their number. A Transformer is drawn as in Vaswani et al. 2017
    (https://arxiv.org/abs/1706.03762, figure 1). The palette is color-blind safe (Okabe and Ito
    2008). Dropout is not drawn.

    Args:
        model: An RNN Seq2Seq or a Transformer of the zoo. Its weights are not read, so a model built
            in a `keras.StatelessScope`, which allocates none, is enough.
        ax: matplotlib Axes to draw on; the drawing and its text are scaled to fit. Default: the Axes
            of a new `Figure` of the drawing's own size, with text of at least 8 points.

    Returns:
        The Axes. `ax.figure.savefig("model.svg")` writes them to a file.

    Raises:
        ValueError: `model` belongs to neither family.

    Example:
        >>> from seq2lite import zoo
        >>> from seq2lite.zoo import plot
        >>> model = zoo.transformer(vocabulary_size=50, num_layers=(3, 1), model_dim=16,
        ...                         num_heads=2, feed_forward_dim=32)
        >>> ax = plot.plot_architecture(model)
        >>> [text.get_text() for text in ax.texts if "attention" in text.get_text()]
        ['Self-attention', 'Masked self-attention', 'Cross-attention']
    """
    drawings = ((RNNSeq2Seq, RNNDrawing), (Transformer, TransformerDrawing))
    found: list = [drawing for family, drawing in drawings if isinstance(model, family)]
    require(found, "an RNN Seq2Seq or a Transformer of the zoo", model=model)
    return found[0](model, ax).draw()
