"""Checks of what a model is called with. Values are checked where they are known: not in a graph."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from .checks import as_tensor, check_array, has_shape, require
from .shapes import Tensor

TARGET = "ids of shape (batch, target_length)"


def source_tensor(model: Any, source: Tensor) -> Tensor:
    """Cast a source to the dtype of `model.source_spec`; raise ValueError if it is another kind."""
    expected, size = _expected_source(model)
    source = as_tensor("source", source, model.source_spec.dtype, expected, size)
    require(has_shape(source, *model.source_spec.shape()), expected, source=source)
    return source


def _expected_source(model):
    """Return the sources of a model in words, and the number of ids, None for features."""
    features = model.source_spec.features
    if features is None:
        return "ids of shape (batch, source_length)", model.source_vocabulary_size
    return f"features of shape (batch, source_length, {features})", None


def target_ids(model: Any, name: str, ids: Tensor, *shape: int | None) -> Tensor:
    """Cast ids of the target to int32; raise ValueError if they have another shape or range."""
    expected = TARGET if len(shape) == 2 else "ids of shape (batch,)"
    ids = as_tensor(name, ids, "int32", expected, model.vocabulary_size)
    require(has_shape(ids, *shape), expected, **{name: ids})
    return ids


def source_and_target(model: Any, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the checked tensors of the inputs of a model's call.

    Raises:
        ValueError: `inputs` is not a dict of a source and target ids.
    """
    _require_names(inputs)
    source = source_tensor(model, inputs["source"])
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
    """A Keras model that checks the arrays it is given before they enter a graph."""

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
        """Return `x`, or raise ValueError if its arrays are wrong; data sets are not read."""
        values = x.values() if isinstance(x, Mapping) else [x]
        if all(isinstance(value, (np.ndarray, list, tuple, str)) for value in values):
            _require_names(x)
            check_array("source", x["source"], *_expected_source(self))
            check_array("target", x["target"], TARGET, self.vocabulary_size)
        return x
