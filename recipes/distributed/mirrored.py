"""Several devices of one host under TensorFlow, with the update of one device on the joint batch.

Keras 3 alone averages the means of the replicas, although their numbers of tokens differ, and clips
the gradient of each replica by itself.
"""

from typing import TYPE_CHECKING

import keras

from seq2lite.zoo.shapes import Tensor

if TYPE_CHECKING:
    import tensorflow as tf


def devices() -> list:
    """Return the devices that share each batch: all GPUs that TensorFlow sees, or all CPUs."""
    import tensorflow as tf

    return tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")


def strategy() -> "tf.distribute.Strategy":
    """Return a `tf.distribute.MirroredStrategy` of all devices."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy([device.name for device in devices()])


def replica_weight(weight: Tensor) -> Tensor | float:
    """Return the weight of this replica's loss among those of all replicas; 1 without replicas.

    The loss of a replica is a mean over its own tokens, and Keras averages the losses of the
    replicas. With this factor the average is the mean over all tokens, as on one device.

    Args:
        weight: Scalar, the sum of the weights of this replica's tokens.
    """
    context = _replica_context()
    if context is None:
        return 1.0
    import tensorflow as tf

    mean = context.all_reduce(tf.distribute.ReduceOp.MEAN, weight)
    return tf.math.divide_no_nan(weight, mean)


def with_joint_clipping(optimizer_class: type) -> type:
    """Return an optimizer class that clips the gradient of all replicas together.

    Under `MirroredStrategy` Keras clips the gradient of each replica and then sums them up.

    Args:
        optimizer_class: Class of a Keras optimizer. With one device it is returned unchanged.
    """
    if not _is_tensorflow() or len(devices()) == 1:
        return optimizer_class

    class Mirrored(optimizer_class):  # type: ignore[misc, valid-type]
        def __init__(self, *args, global_clipnorm=None, **options):
            # The mean of the gradients is clipped, and Keras sums the clipped ones up.
            if global_clipnorm is not None:
                global_clipnorm /= len(devices())
            super().__init__(*args, global_clipnorm=global_clipnorm, **options)

        def apply(self, grads, trainable_variables=None):
            import tensorflow as tf

            if (context := _replica_context()) is not None:
                grads = [tf.convert_to_tensor(g) for g in grads]
                grads = context.all_reduce(tf.distribute.ReduceOp.MEAN, grads)
            super().apply(grads, trainable_variables)

    Mirrored.__name__ = optimizer_class.__name__
    return Mirrored


def _is_tensorflow():
    return keras.backend.backend() == "tensorflow"


def _replica_context():
    """Return TensorFlow's replica context; None outside of a replica."""
    if not _is_tensorflow():
        return None
    import tensorflow as tf

    return tf.distribute.get_replica_context() if tf.distribute.has_strategy() else None
