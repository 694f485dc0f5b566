"""Recipes: from text to a deployed model, one file for each task.

`python -m seq2lite.recipes list` lists them.
"""

import os

# Hides TensorFlow's start-up messages, which users of a recipe cannot act on.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
