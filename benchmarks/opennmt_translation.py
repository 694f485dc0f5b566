"""OpenNMT-tf's Transformer on the same pairs, for the same time, on the same cores as `translate`.

    python benchmarks/opennmt_translation.py prepare FOLDER tokenizer.model train.tsv.gz valid.tsv.gz test.tsv.gz…
    PEER/bin/python benchmarks/opennmt_translation.py train FOLDER MINUTES
    python benchmarks/opennmt_translation.py score FOLDER tokenizer.model test.tsv.gz…

`train` needs a separate environment with OpenNMT-tf 2.32 and TensorFlow 2.13. The model has the
sizes of `transformer_small` and shared embeddings. Subwords, label smoothing, batch size, peak
learning rate and warm-up are those of the recipe. The result is the average of the last four
checkpoints (OpenNMT-tf's default is eight), decoded with four beams.
"""

import subprocess
import sys
from pathlib import Path

CHECKPOINT_STEPS = 250


def prepare(folder, tokenizer, *files):
    """Write each sentence as a line of subwords, and the vocabulary."""
    import sentencepiece

    from seq2lite.recipes.data.pairs import read_pairs
    from seq2lite.recipes.data.splits import for_training

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    processor = sentencepiece.SentencePieceProcessor(model_file=tokenizer)
    subwords = [processor.id_to_piece(i) for i in range(4, processor.vocab_size())]
    lines = ["<blank>", "<s>", "</s>", *subwords]
    (folder / "vocabulary.txt").write_text("\n".join(lines) + "\n")
    parts = [read_pairs(file) for file in files]
    parts[0] = for_training(*parts)
    for file, pairs in zip(files, parts, strict=True):
        for side, column in zip(("source", "target"), zip(*pairs, strict=True), strict=True):
            lines = [" ".join(row) for row in processor.encode(list(column), out_type=str)]
            (folder / f"{stem_of(file)}.{side}").write_text("\n".join(lines) + "\n", "utf-8")


def train(folder, minutes):
    """Train for `minutes`, average the last checkpoints and translate every test set."""
    try:
        subprocess.run(
            [sys.executable, __file__, "fit", folder], timeout=60 * float(minutes), check=True
        )
    except subprocess.TimeoutExpired:
        print(f"stopped after {minutes} minutes", flush=True)
    runner = build_runner(folder)
    average = str(Path(folder) / "average")
    runner.average_checkpoints(average, max_count=4)
    for source in sorted(Path(folder).glob("test*.source")):
        output = str(source.with_suffix(".output"))
        runner.infer(str(source), predictions_file=output, checkpoint_path=average)


def fit(folder):
    """Train until the process is killed."""
    build_runner(folder).train()


def score(folder, tokenizer, *files):
    """Print BLEU and chrF of every test set."""
    import sentencepiece

    from seq2lite.recipes.data.pairs import read_pairs
    from seq2lite.recipes.evaluation.metrics import translation_scores

    processor = sentencepiece.SentencePieceProcessor(model_file=tokenizer)
    for file in files:
        lines = (Path(folder) / f"{stem_of(file)}.output").read_text("utf-8").splitlines()
        outputs = [processor.decode_pieces(line.split()) for line in lines]
        print(
            stem_of(file), translation_scores(outputs, [target for _, target in read_pairs(file)])
        )


def stem_of(file):
    return Path(file).name.partition(".")[0]


def build_runner(folder):
    import opennmt
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(2)
    model = opennmt.models.Transformer(
        opennmt.inputters.WordEmbedder(256),
        opennmt.inputters.WordEmbedder(256),
        num_layers=4,
        num_units=256,
        num_heads=4,
        ffn_inner_dim=1024,
        share_embeddings=opennmt.models.EmbeddingsSharingLevel.ALL,
    )
    path = Path(folder)
    vocabulary = str(path / "vocabulary.txt")
    config = {
        "model_dir": str(path / "model"),
        "data": {
            "source_vocabulary": vocabulary,
            "target_vocabulary": vocabulary,
            "train_features_file": str(path / "train.source"),
            "train_labels_file": str(path / "train.target"),
        },
        "params": {
            "optimizer": "LazyAdam",
            "optimizer_params": {"beta_1": 0.9, "beta_2": 0.98},
            # The schedule of Vaswani et al. 2017, with its peak of 1.5e-3 after 400 steps.
            "learning_rate": 1.5e-3 * 256**0.5 * 400**0.5,
            "decay_type": "NoamDecay",
            "decay_params": {"model_dim": 256, "warmup_steps": 400},
            "label_smoothing": 0.1,
            "average_loss_in_time": True,
            "beam_width": 4,
            "length_penalty": 1.0,
        },
        "train": {
            "batch_size": 2048,
            "batch_type": "tokens",
            "effective_batch_size": None,
            "length_bucket_width": 2,
            "maximum_features_length": 100,
            "maximum_labels_length": 100,
            "save_checkpoints_steps": CHECKPOINT_STEPS,
            "keep_checkpoint_max": 4,
            "save_summary_steps": 50,
            "max_step": None,
            "average_last_checkpoints": 0,
        },
        "infer": {"batch_size": 32, "length_bucket_width": 5},
    }
    return opennmt.Runner(model, config, auto_config=False)


if __name__ == "__main__":
    {"prepare": prepare, "train": train, "fit": fit, "score": score}[sys.argv[1]](*sys.argv[2:])
