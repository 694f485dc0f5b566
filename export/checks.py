"""Checks of the arguments of the export functions, made before any work begins."""

import math
import os
from numbers import Integral
from pathlib import Path

import keras
import numpy as np

from seq2lite.zoo.checks import is_number, is_positive_integer, plain, require
from seq2lite.zoo.contract import Seq2Seq
from seq2lite.zoo.text import TextSettings

from .quantization.modes import MAX_DIVERGENCE, MODES, Tolerance
from .quantization.weights import require_finite
from .runtime import host_decoding
from .runtime.checks import is_unicode
from .runtime.container import MAX_LENGTH, is_bundle, is_zip
from .system.atomic import check_parents
from .tflite_file.flatbuffer import MAX_SIZE
from .tflite_file.targets import TARGETS
from .tflite_file.versions import require_version


def check_model(model):
    """Raise ValueError unless `model` is a `zoo.Seq2Seq` whose variables are TensorFlow's."""
    require(isinstance(model, Seq2Seq), "a zoo.Seq2Seq", model=model)
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "The Keras backend must be 'tensorflow'. Received: "
            f"backend={keras.backend.backend()!r}. Save the model to a .keras file and load it "
            "with KERAS_BACKEND=tensorflow"
        )


def check_weights(model, quantizations):
    """Raise ValueError unless all modes can store every weight of a model, and all in one file."""
    sizes = {name: model.count_params() * mode.weight_bits / 8 for name, mode in MODES.items()}
    for name in (name for name in quantizations if sizes[name] > MAX_SIZE):
        fitting = [
            f"{other} ({_gigabytes(size)})"
            for other, size in sizes.items()
            if size <= MAX_SIZE and MODES[other].is_static == MODES[name].is_static
        ]
        raise ValueError(
            f"`quantization` must be a mode whose file has at most {_gigabytes(MAX_SIZE)}, the "
            f"limit of the format: for this model {', '.join(fitting) or 'none'}. "
            f"Received: quantization={name!r} ({_gigabytes(sizes[name])})"
        )
    for variable in model.weights:
        for name in quantizations:
            maximum = MODES[name].max_weight
            require_finite(variable.path, variable.numpy(), name, maximum)


def text_settings(model, tokenizer, **options):
    """Check the tokenizer, limits and search of an export.

    Args:
        model: `zoo.Seq2Seq`.
        tokenizer: The `Tokenizer` of source and target, or a pair (source, target) of them. None for
            the one that is attached to the model.
        options: The other arguments of `Seq2Seq.attach_tokenizer`. None for the value that is
            attached, or else the default.

    Returns:
        `zoo.text.TextSettings`.

    Raises:
        ValueError: An argument is invalid, or no tokenizer is given or attached.
    """
    attached = {} if model.text is None else {**model.text.limits, **model.text.search}
    if tokenizer is None and model.text is not None:
        tokenizer = model.text.tokenizers
    given = {name: value for name, value in options.items() if value is not None}
    return TextSettings.of(model, tokenizer, **{**attached, **given})


def check_quantization(
    quantization,
    *,
    is_static=None,
    max_divergence=MAX_DIVERGENCE,
    min_runtime=None,
    integer_io=False,
    target=None,
):
    """Raise ValueError unless `quantization` is a mode that supports the options.

    Args:
        quantization: str, name of a mode.
        is_static: bool, whether the mode must be static. Default: both kinds are accepted.
        max_divergence: float, as in `to_tflite`.
        min_runtime: str, as in `to_tflite`.
        integer_io: bool, as in `to_bundle`.
        target: str, as in `to_tflite`.
    """
    names = [name for name, mode in MODES.items() if is_static in (None, mode.is_static)]
    require(quantization in names, f"one of {', '.join(names)}", quantization=quantization)
    is_positive = is_number(max_divergence) and max_divergence > 0
    require(is_positive, "a positive number", max_divergence=max_divergence)
    mode, condition = MODES[quantization], f"quantization={quantization!r}"
    require(not integer_io or mode.has_integer_io, f"False with {condition}", integer_io=integer_io)
    require_version(min_runtime, mode.min_runtime, condition)
    targets = [name for name in TARGETS if mode.is_static or not TARGETS[name].static_shapes]
    is_possible = target is None or target in targets
    require(is_possible, f"one of {', '.join(targets)} with {condition}", target=target)


def check_quantizations(quantizations, **options):
    """Raise ValueError unless `quantizations` are one or more modes, each given once.

    Args:
        quantizations: Sequence of names of modes.
        options: As in `check_quantization`.
    """
    for name in quantizations:
        check_quantization(name, **options)
    expected = f"one or more of {', '.join(MODES)}, each once"
    is_valid = 0 < len(quantizations) == len(set(quantizations))
    require(is_valid, expected, quantization=quantizations)


def check_attention(model, attention):
    """Raise ValueError unless `attention` is a bool, and False for a model without attention."""
    check_flags(attention=attention)
    expected = f"False for {model.name!r}, a model without attention"
    require(model.has_attention or not attention, expected, attention=attention)


def check_flags(**flags):
    """Raise ValueError unless each is a bool."""
    for name, flag in flags.items():
        require(isinstance(flag, bool), "True or False", **{name: flag})


def check_tolerance(tolerance):
    """Raise ValueError unless `tolerance` is None or a `Tolerance`."""
    is_valid = tolerance is None or isinstance(tolerance, Tolerance)
    require(is_valid, "None or an export.Tolerance", tolerance=tolerance)


def check_batch(batch, quantization):
    """Return a batch size of a file with static shapes as an int; raise ValueError if invalid."""
    require(is_positive_integer(batch), "a positive integer", batch=batch)
    if MODES[quantization].needs_calibration:
        require(batch == 1, f"1 with quantization={quantization!r}", batch=batch)
    return int(batch)


def check_beams(num_beams, length_penalty):
    """Return the options of the search as Python numbers; raise ValueError if invalid."""
    host_decoding.check_beams(num_beams, 1, length_penalty)
    return plain((num_beams, length_penalty))


def check_text_bytes(max_text_bytes):
    """Return the size of texts in text signatures as an int, or None; raise ValueError if invalid."""
    if max_text_bytes is None:
        return None
    is_valid = is_number(max_text_bytes, Integral) and 16 <= max_text_bytes <= MAX_LENGTH
    expected = f"an integer from 16 to {MAX_LENGTH}"
    require(is_valid, expected, max_text_bytes=max_text_bytes)
    return int(max_text_bytes)


def text_bytes(tokenizer, texts, max_length):
    """Return a size of texts for text signatures: that of the largest text that is not cut.

    Args:
        tokenizer: Tokenizer of the source.
        texts: Source texts.
        max_length: Maximum number of tokens of a source, the end included.
    """
    rows = tokenizer.encode(texts)
    fitting = [text for text, ids in zip(texts, rows, strict=True) if len(ids) < max_length]
    largest = max((len(text.encode()) for text in fitting), default=0)
    return min(max(512, math.ceil(largest / 256) * 256), MAX_LENGTH)


def check_held_out(pairs):
    """Raise ValueError unless `pairs` are (source, reference) texts with a source to compare."""
    require(
        isinstance(pairs, (list, tuple))
        and all(_are_texts(pair) and len(pair) == 2 for pair in pairs)
        and any(source.strip() for source, _ in pairs),
        "a list of pairs of str (source, reference) with at least one source that is not blank",
        held_out=pairs,
    )


def check_calibration_texts(texts):
    """Raise ValueError unless `texts` are source texts that are not all blank."""
    expected = "a list of source texts with at least one that is not blank"
    require(_are_texts(texts) and any(map(str.strip, texts)), expected, calibration=texts)


def check_calibration_sources(source, model, quantization):
    """Check sources that are given to calibrate a file, as the model reads them.

    Args:
        source: `(n, source_length)` ids, each row ended and then padded, or `(n, source_length,
            features)`, as `model.source_spec` describes.
        model: The `zoo.Seq2Seq` that reads them.
        quantization: str, the mode that needs them.

    Returns:
        The sources as an array of the dtype of `source_spec`.

    Raises:
        ValueError: They are not such an array, contain an unknown id or a number that is not
            finite in float32, or an empty source.
    """
    spec = model.source_spec
    if spec.features is None:
        kinds, expected = "iu", "an integer array (n, source_length) of padded ids"
    else:
        kinds, expected = "iuf", f"an array (n, source_length, {spec.features}) of real numbers"
    expected += f" for quantization={quantization!r}"
    try:
        given = np.asarray(source)
    except ValueError:  # rows of different lengths
        given = np.asarray(None)
    require(given.dtype != object, expected, calibration=source)
    _require_array(given.dtype.kind in kinds, expected, given)
    has_shape = given.ndim == len(spec.shape()) and given.shape[2:] == spec.shape()[2:]
    _require_array(has_shape and given.size, f"{expected}, not empty", given)
    if spec.features is None:
        size = model.source_vocabulary_size
        is_known = (given >= 0) & (given < size)
        _require_array(is_known.all(), f"an array of padded ids in [0, {size})", given)
    with np.errstate(over="ignore"):
        array = given.astype(spec.dtype)
    _require_array(np.isfinite(array).all(), "an array of numbers that float32 can store", given)
    has_tokens = np.asarray(model.source_mask(array)).any(axis=1)
    _require_array(has_tokens.all(), "an array without an empty source", given)
    return array


def _require_array(holds, expected, array):
    """Raise ValueError unless `holds`, with data type, shape and range of `array` for `calibration`."""
    if not holds:
        has_range = array.size and array.dtype.kind in "iuf"
        values = f", from {array.min()} to {array.max()}" if has_range else ""
        received = f"calibration of {array.dtype} and shape {array.shape}{values}"
        raise ValueError(f"`calibration` must be {expected}. Received: {received}")


def check_languages(languages):
    """Raise ValueError unless `languages` is None or a pair of tags."""
    is_pair = _are_texts(languages) and len(languages) == 2
    expected = "a pair of language tags, such as ('en', 'ko')"
    require(languages is None or is_pair, expected, languages=languages)


def bundle_paths(path, quantization):
    """Check where bundles are to be written.

    Args:
        path: str or Path, as given to `to_bundle`.
        quantization: str, or a sequence of str for a folder of bundles.

    Returns:
        dict of quantization mode to the Path of its bundle.

    Raises:
        ValueError: A path is occupied by something else than a bundle of the same kind.
    """
    path = Path(path)
    if isinstance(quantization, str):
        paths = {quantization: path}
    else:
        require(not is_bundle(path), "a folder for bundles, not a bundle", path=str(path))
        paths = {name: path / name for name in quantization}
    for each in paths.values():
        is_bundle_of_kind = is_bundle(each) and each.is_file() == is_zip(each)
        is_free = is_bundle_of_kind or not os.path.lexists(each)
        expected = (
            f"free, or the {'zip' if is_zip(each) else 'folder'} of a bundle, which is replaced"
        )
        require(is_free, expected, path=str(each))
        check_parents(each)
    return paths


def check_file_path(path):
    """Raise ValueError unless a file can be written at `path`."""
    require(not Path(path).is_dir(), "a file, not a folder", path=str(path))
    check_parents(path)


def check_saved_model_path(path):
    """Raise ValueError unless a SavedModel can be written at `path`."""
    is_free = not os.path.lexists(path) or (Path(path) / "saved_model.pb").is_file()
    require(is_free, "free, or a SavedModel to be replaced", path=str(path))
    check_parents(path)


def _are_texts(value):
    return isinstance(value, (list, tuple)) and all(
        isinstance(text, str) and is_unicode(text) for text in value
    )


def _gigabytes(size):
    return f"{size / 1e9:.2f} GB"
