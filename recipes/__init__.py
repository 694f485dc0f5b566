"""Recipes: from text to a deployed model, one file for each task.

`seq2lite list` lists them.
"""

import os

from seq2lite.extras import require_extra

require_extra("train", __name__, "keras", "tensorflow")

# Hides TensorFlow's start-up messages, which users of a recipe cannot act on.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
