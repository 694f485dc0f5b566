"""A small recipe for the tests of distribution: trains, and leaves its checkpoints.

python distributed_worker.py FAMILY FOLDER [option=value …]
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from seq2lite import zoo
from seq2lite.recipes.data.batches import Batches
from seq2lite.recipes.data.pairs import Pairs, read_pairs
from seq2lite.recipes.data.prepare import Data
from seq2lite.recipes.data.samples import VSCODE_VALID
from seq2lite.recipes.data.tokenizers import learn_tokenizer
from seq2lite.recipes.distributed import processes
from seq2lite.recipes.distributed.machine import this_machine
from seq2lite.recipes.evaluation.decoding import Decoder, Score, Search
from seq2lite.recipes.evaluation.metrics import translation_scores
from seq2lite.recipes.training.fit import fit
from seq2lite.recipes.training.options import Training

SIZES = {
    "transformer": {"num_layers": 1, "model_dim": 16, "num_heads": 2, "feed_forward_dim": 16},
    "rnn": {"num_layers": 1, "embedding_dim": 8, "hidden_dim": 8},
}


def build(family, training, dropout):
    """The model, and the batches to train on and to score."""
    keras.utils.set_random_seed(training.seed)
    pairs = read_pairs(VSCODE_VALID)
    tokenizer = learn_tokenizer((text for pair in pairs for text in pair), 1000)
    machine = this_machine()
    options = {
        "max_length": 8,
        "batch_tokens": 256,
        "few_shapes": machine.few_shapes,
        "rows_multiple": max(2, machine.rows_multiple),  # the same for 1 and 2 devices
    }
    train = Batches(Pairs(pairs[:72]), tokenizer, seed=training.seed, **options)
    valid = Batches(Pairs(pairs[72:80]), tokenizer, **options)
    make = zoo.transformer if family == "transformer" else zoo.rnn_seq2seq
    model = make(**tokenizer.vocabulary, dropout=dropout, **SIZES[family])
    score = Score("chrF", translation_scores, Decoder(tokenizer, Search(), (8, 8)), pairs[72:74])
    return model, train, valid, score


def train(family, folder, dropout=0.1, **options):
    training = Training(
        **{"epochs": 2, "precision": "float32", "score_pairs": 0, "learning_rate": 0.02, **options}
    )
    model, batches, valid, score = build(family, training, dropout)
    data = Data(batches.tokenizers.source, batches, valid, {})
    return fit(model, data, training, Path(folder), score)


if __name__ == "__main__":
    family, folder, *options = sys.argv[1:]
    options = {n: json.loads(v) for n, v in (option.split("=") for option in options)}
    if devices := int(os.environ.get("CPU_DEVICES", "0")):
        (cpu,) = tf.config.list_physical_devices("CPU")
        logical = [tf.config.LogicalDeviceConfiguration() for _ in range(devices)]
        tf.config.set_logical_device_configuration(cpu, logical)
    with processes.joined_processes():
        result = train(family, folder, **options)
        index, _ = processes.shard()
        np.savez(Path(folder) / f"result-{index}.npz", *result.model.get_weights())
