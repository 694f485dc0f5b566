"""A family that trains in a second, and short options, for tests of the training loop."""

import keras
from keras import layers, ops

from seq2lite import zoo
from seq2lite.recipes.training.options import Training

TRAINING = Training(
    epochs=2,
    batch_tokens=256,
    learning_rate=2e-3,
    warmup_steps=3,
    score_pairs=0,
    precision="float32",
)


@keras.saving.register_keras_serializable("tests")
class Bag(zoo.Seq2Seq):
    """A model that predicts the next token from the last token and the mean of the source's embeddings.

    Args:
        dim: Size of the embeddings.
        names: Names of its layers, in the order in which they are created.
        options: Those of `zoo.Seq2Seq`.
    """

    def __init__(self, *, dim=8, names=("embedding", "output", "dropout"), **options):
        super().__init__(dim=dim, names=names, **options)
        make = {
            "emb": lambda name: layers.Embedding(self.vocabulary_size, dim, name=name),
            "out": lambda name: layers.Dense(self.vocabulary_size, name=name),
            "dro": lambda name: layers.Dropout(0.2, name=name),
        }
        parts = {name[:3]: make[name[:3]](name) for name in names}
        # Keras counts variables in the order of attributes.
        for kind, layer in parts.items():
            setattr(self, kind, layer)
        self.emb.build()
        self.out.build((None, dim))

    def call(self, inputs, training=False, return_attention=False):
        source = ops.mean(self.emb(inputs["source"]), axis=1, keepdims=True)
        x = self.dro(self.emb(inputs["target"]) + source, training=training)
        return self.out(x)
