"""Checks of the inputs of a model.

`encode` checks the values of tensors too, where they are known: not in a graph. `call` and `step` check
those of other inputs only. To read a tensor they would have to wait for the device at every step of a
training or of a search.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from .checks import as_tensor, check_array, has_shape, require
from .shapes import Tensor

TARGET = "ids of shape (batch, target_length)"
_ARRAYS = np.ndarray, list, tuple, str


def source_tensor(model: Any, source: Tensor, *, reads_tensor: bool = True) -> Tensor:
    """Cast a source to the dtype of `model.source_spec`; raise ValueError if it is another kind.

    Args:
        model: A `Seq2Seq`.
        source: A source as in `source_spec`.
        reads_tensor: Whether the values of a tensor are checked.
    """
    expected, size = _expected_source(model)
    size = size if reads_tensor else _size_unless_tensor(source, size)
    source = as_tensor("source", source, model.source_spec.dtype, expected, size)
    require(has_shape(source, *model.source_spec.shape()), expected, source=source)
    return source


def _expected_source(model):
    """Return the sources of a model in words, and the number of ids, None for features."""
    features = model.source_spec.features
    if features is None:
        return "ids of shape (batch, source_length)", model.source_vocabulary_size
    return f"features of shape (batch, source_length, {features})", None


def _size_unless_tensor(value, size):
    """Return the number of ids, or None for a tensor, whose values are not checked."""
    return None if ops.is_tensor(value) else size


def target_ids(model: Any, name: str, ids: Tensor, *shape: int | None) -> Tensor:
    """Cast ids of the target to int32; raise ValueError if they have another shape or range.

    The range of a tensor is not checked.
    """
    expected = TARGET if len(shape) == 2 else "ids of shape (batch,)"
    ids = as_tensor(name, ids, "int32", expected, _size_unless_tensor(ids, model.vocabulary_size))
    require(has_shape(ids, *shape), expected, **{name: ids})
    return ids


def source_and_target(model: Any, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the checked tensors of the inputs of a model's call.

    Raises:
        ValueError: `inputs` is not a dict of a source and target ids.
    """
    _require_names(inputs)
    source = source_tensor(model, inputs["source"], reads_tensor=False)
    return source, target_ids(model, "target", inputs["target"], None, None)


def _require_names(inputs):
    is_dict = isinstance(inputs, Mapping)
    require(
        is_dict and {"source", "target"} <= set(inputs),
        'a dict of "source" and "target" (the target begins with start_id). To generate targets, '
        "use zoo.beam_search, or model.generate for text",
        inputs=sorted(map(str, inputs)) if is_dict else inputs,
    )


class CheckedArrays(keras.Model):
    """A Keras model that checks the arrays it is given before Keras makes tensors of them."""

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(self._checked(x), *args, **kwargs)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        return super().fit(self._checked(x), *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        return super().evaluate(self._checked(x), *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return super().predict(self._checked(x), *args, **kwargs)

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return super().train_on_batch(self._checked(x), *args, **kwargs)

    def test_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return super().test_on_batch(self._checked(x), *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        return super().predict_on_batch(self._checked(x))

    def _checked(self, x):
        """Return `x`, or raise ValueError if its arrays are wrong. Data sets and tensors are not read."""
        if isinstance(x, (Mapping, *_ARRAYS)):
            _require_names(x)
            if isinstance(x["source"], _ARRAYS):
                check_array("source", x["source"], *_expected_source(self))
            if isinstance(x["target"], _ARRAYS):
                check_array("target", x["target"], TARGET, self.vocabulary_size)
        return x
