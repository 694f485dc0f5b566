"""From a model that answers the zoo's contract to SavedModel, TFLite and a bundle that runs.

`load` needs ai-edge-litert, numpy and sentencepiece only; everything else is imported when used.
"""

from importlib import import_module

from .runtime.runner import BundleError, Runner, load
from .runtime.tokenizer import Tokenizer

# What needs TensorFlow, and the file it stands in.
_LAZY = {
    "ConversionError": ".system.isolation",
    "QUANTIZATIONS": ".quantization.modes",
    "ParityError": ".verification.parity",
    "Tolerance": ".quantization.modes",
    "to_bundle": ".bundle",
    "to_saved_model": ".saved_model",
    "to_tflite": ".tflite",
}

__all__ = ["BundleError", "Runner", "Tokenizer", "load", *_LAZY]


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name], __name__), name)
