"""Under TensorFlow: the devices of one host, whose update is that of one device with the joint batch.

Keras 3 alone takes the mean of the replicas' means, though their numbers of tokens differ, and clips
the gradient of each replica by itself.
"""

import functools

import keras


def devices():
    """Those that share each batch: all GPUs that TensorFlow sees, or CPUs."""
    import tensorflow as tf

    return tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")


@functools.cache
def strategy():
    """TensorFlow's, of all devices."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy([device.name for device in devices()])


def share_of_joint(weight):
    """How many times its even share of the batch's weight a replica has, under `MirroredStrategy`.

    Replicas' losses are means over their own tokens, and Keras takes the mean of those. With this
    factor it is the mean over all tokens, as on one device.

    Args:
        weight: Scalar, the weight of this replica's tokens.
    """
    if _replica_context() is None:
        return 1.0
    import tensorflow as tf

    joint = _replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, weight)
    return tf.math.divide_no_nan(weight, joint)


def joint_clipping(kind):
    """`kind`, a Keras optimizer's class, whose gradients are clipped as on one device.

    Under `MirroredStrategy` Keras clips those of each replica and then sums them up.
    """
    if not _is_tensorflow() or len(devices()) == 1:
        return kind

    class Mirrored(kind):
        def __init__(self, *args, global_clipnorm=None, **options):
            # What is clipped is the mean of what Keras sums up afterwards.
            if global_clipnorm is not None:
                global_clipnorm /= len(devices())
            super().__init__(*args, global_clipnorm=global_clipnorm, **options)

        def apply(self, grads, trainable_variables=None):
            import tensorflow as tf

            if _replica_context() is not None:
                grads = [tf.convert_to_tensor(g) for g in grads]
                grads = _replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, grads)
            super().apply(grads, trainable_variables)

    Mirrored.__name__ = kind.__name__
    return Mirrored


def _is_tensorflow():
    return keras.backend.backend() == "tensorflow"


def _replica_context():
    """TensorFlow's, within one of several replicas; else None."""
    if not _is_tensorflow():
        return None
    import tensorflow as tf

    if not tf.distribute.has_strategy():
        return None
    return tf.distribute.get_replica_context()
