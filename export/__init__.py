"""Export of models as SavedModels, TFLite files and bundles, and the runtime of bundles.

`load` needs only ai-edge-litert, NumPy and SentencePiece. The names that need TensorFlow are imported at
first use.
"""

from importlib import import_module

from seq2lite.extras import require_extra

from .runtime.container import BundleError
from .runtime.load import load
from .runtime.runner import Runner
from .runtime.tokenizer import Tokenizer

# Names that need TensorFlow, and their modules.
_LAZY = {
    "ConversionError": ".system.isolation",
    "ParityError": ".verification.parity",
    "QUANTIZATIONS": ".quantization.modes",
    "Report": ".report",
    "Tolerance": ".quantization.modes",
    "to_bundle": ".bundle",
    "to_saved_model": ".saved_model",
    "to_tflite": ".tflite",
}

__all__ = ["BundleError", "Runner", "Tokenizer", "load", *_LAZY]


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_extra("train", f"{__name__}.{name}", "keras", "tensorflow")
    return getattr(import_module(_LAZY[name], __name__), name)
