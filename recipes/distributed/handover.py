"""What a training under JAX hands to the process that exports it, which is one under TensorFlow."""

import json
import os

_TRAINED = "SEQ2LITE_TRAINED"


def received():
    """`distribution.run_options` of the training that this process exports; None where it trains itself."""
    return json.loads(os.environ[_TRAINED]) if _TRAINED in os.environ else None


def environment(run_options):
    """Variables, by name, of a process that exports a training with these options."""
    return {"KERAS_BACKEND": "tensorflow", _TRAINED: json.dumps(run_options)}
