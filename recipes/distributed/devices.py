"""The devices that share each batch."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager

import keras
import numpy as np

from . import mirrored
from .backend import IS_JAX
from .precision import precision


def num_devices() -> int:
    """Return the number of devices that share each batch."""
    if IS_JAX:
        return len(keras.distribution.list_devices())
    return len(mirrored.devices()) if keras.backend.backend() == "tensorflow" else 1


class Devices:
    """The devices that share each batch; with one device, nothing differs from plain Keras.

    Under JAX they are those of all processes, and Keras's `DataParallel` sums their gradients up.
    Under TensorFlow they are those of this host, as a `MirroredStrategy`.
    """

    def __init__(self):
        if num_devices() == 1:
            self._distribution = None
        elif IS_JAX:
            # Each process makes only its own rows of a batch, so there is nothing to shard.
            self._distribution = keras.distribution.DataParallel(
                devices=keras.distribution.list_devices(), auto_shard_dataset=False
            )
        else:
            self._distribution = mirrored.strategy()

    def scope(self) -> AbstractContextManager:
        """Return a context: models are built, compiled and fitted on all devices in it."""
        return self._distribution.scope() if self._distribution else contextlib.nullcontext()

    def copy(self, model: keras.Model) -> keras.Model:
        """Return a copy of a model on all devices; with one device, the model itself."""
        if self._distribution is None:
            return model
        with precision(model.dtype_policy.name), self.scope():
            copy = type(model).from_config(model.get_config())
        for variable, value in zip(copy.variables, model.variables, strict=True):
            variable.assign(np.array(value))
        return copy


@contextlib.contextmanager
def first_device() -> Iterator[None]:
    """Return a context: under JAX, models are built and called on one device of this process."""
    if not IS_JAX:
        yield
        return
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)
