"""Recipes: one file a task, from text to a file that runs. `python -m seq2lite.recipes list`."""

import os

# TensorFlow's start-up notes, which no user of a recipe can act on.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
