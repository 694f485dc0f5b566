"""Machine translation: from two columns of text to a file that translates.

    python -m seq2lite.recipes.translate
    python -m seq2lite.recipes.translate --train my.tsv --valid my-valid.tsv --output runs/mine

Needs: nothing but this package; by default it trains on 12,788 English-Korean strings of Visual
Studio Code's interface, which come with it. Gives, in `--output`: `model.keras`, and a bundle for
each quantization (`float32/`, `int8/`). Time and scores: docs/translate.md.
"""

import dataclasses
import sys
import time
from collections import namedtuple

import keras
import sacrebleu

from seq2lite import export, zoo
from seq2lite.export.bundle import QUANTIZATIONS, check_quantizations
from seq2lite.export.parity import KerasReference
from seq2lite.export.runtime import require_positive
from seq2lite.export.signatures import length_limits
from seq2lite.recipes.command import run_recipe
from seq2lite.recipes.pairs import VSCODE_TRAIN, VSCODE_VALID, read_pairs
from seq2lite.recipes.run_folder import BACKUP, check_run_folder, open_run
from seq2lite.recipes.text import batches, learn_tokenizer
from seq2lite.recipes.training import SmoothedCrossentropy, warmup_and_cosine


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run depends on; each field is a flag."""

    train: str = dataclasses.field(
        default=str(VSCODE_TRAIN), metadata={"help": "source, tab, target a line; .gz or plain"}
    )
    valid: str = dataclasses.field(
        default=str(VSCODE_VALID), metadata={"help": "held-out pairs, of the same form"}
    )
    output: str = dataclasses.field(default="runs/translate", metadata={"help": "run folder"})
    overwrite: bool = dataclasses.field(
        default=False, metadata={"help": "replace what an earlier run left in the folder"}
    )
    preset: str = dataclasses.field(
        default="transformer_tiny", metadata={"help": f"one of {', '.join(zoo.list_presets())}"}
    )
    vocabulary_size: int = dataclasses.field(
        default=4000, metadata={"help": "pieces of the joint SentencePiece model"}
    )
    max_length: int = dataclasses.field(
        default=96, metadata={"help": "tokens; longer sentences are cut"}
    )
    epochs: int = 8
    batch_tokens: int = dataclasses.field(
        default=1024, metadata={"help": "sentences in a batch times the length of the longest"}
    )
    learning_rate: float = dataclasses.field(
        default=2e-3, metadata={"help": "at the end of the warm-up; it falls to 0 as a cosine"}
    )
    warmup_steps: int = 200
    dropout: float = 0.1
    label_smoothing: float = 0.1
    seed: int = 1
    languages: tuple[str, ...] = dataclasses.field(
        default=("en", "ko"), metadata={"help": "tags of source and target, for bundle.json"}
    )
    quantizations: tuple[str, ...] = dataclasses.field(
        default=("float32", "int8"),
        metadata={"help": f"a bundle for each of them; of {', '.join(QUANTIZATIONS)}"},
    )

    def __post_init__(self):
        check_config(self)


def check_config(config):
    """Raises ValueError before work begins."""
    for name, chosen, allowed in (
        ("preset", [config.preset], zoo.list_presets()),
        ("quantizations", config.quantizations, QUANTIZATIONS),
    ):
        if not set(chosen) <= set(allowed):
            raise ValueError(
                f"`{name}` must be of {', '.join(allowed)}. Received: {' '.join(chosen)}"
            )
    check_quantizations(config.quantizations)
    if len(config.languages) != 2:
        raise ValueError(f"`languages` must be two tags. Received: {' '.join(config.languages)}")
    require_positive(
        vocabulary_size=config.vocabulary_size,
        epochs=config.epochs,
        batch_tokens=config.batch_tokens,
        warmup_steps=config.warmup_steps,
    )
    length_limits(config.max_length)
    if config.seed < 0:
        raise ValueError(f"`seed` must not be negative. Received: {config.seed}")


NUM_CALIBRATION = 256  # sentences of the training that 4-bit and integer files are calibrated on
Data = namedtuple("Data", ["tokenizer", "train", "valid", "valid_pairs", "calibration"])
Result = namedtuple("Result", ["model", "tokenizer", "scores", "reports"])


def build_data(config):
    """Reads the pairs, learns the tokenizer, and makes the two pipelines."""
    train_pairs, valid_pairs = read_pairs(config.train), read_pairs(config.valid)
    tokenizer = learn_tokenizer(
        (text for pair in train_pairs for text in pair), config.vocabulary_size, config.seed
    )
    sizes = {"max_length": config.max_length, "batch_tokens": config.batch_tokens}
    train, num_cut_train = batches(train_pairs, tokenizer, shuffle_seed=config.seed, **sizes)
    valid, num_cut_valid = batches(valid_pairs, tokenizer, **sizes)
    print(f"{len(train_pairs):,} pairs to train on, {len(valid_pairs):,} held out")
    if num_cut_train or num_cut_valid:
        print(
            f"warning: {num_cut_train:,} of them and {num_cut_valid:,} held out are longer than "
            f"max_length={config.max_length} tokens, and are cut there",
            file=sys.stderr,
        )
    some = train_pairs[:: max(1, len(train_pairs) // NUM_CALIBRATION)]
    return Data(tokenizer, train, valid, valid_pairs, [source for source, _ in some])


def build_model(config, data):
    """The preset, compiled."""
    keras.utils.set_random_seed(config.seed)
    model = zoo.build(
        config.preset,
        dropout=config.dropout,
        **data.tokenizer.vocabulary,
    )
    num_steps = config.epochs * int(data.train.cardinality())
    schedule = warmup_and_cosine(config.learning_rate, config.warmup_steps, num_steps)
    model.compile(
        optimizer=keras.optimizers.Adam(schedule, beta_2=0.98, global_clipnorm=1.0),
        loss=SmoothedCrossentropy(config.label_smoothing),
        # One trace serves every batch shape; XLA would compile each.
        jit_compile=False,
    )
    print(f"{config.preset}: {model.count_params():,} parameters, {num_steps:,} steps")
    return model


def train(config):
    """Trains, scores, exports. A run that was stopped goes on from its last epoch."""
    check_run_folder(config)
    data = build_data(config)
    model = build_model(config, data)
    with open_run(config) as folder:
        model = fit(config, model, data, folder)
        scores = evaluate(config, model, data)
        print(f"exporting {', '.join(config.quantizations)} …", flush=True)
        reports = export.to_bundle(
            model,
            folder,
            data.tokenizer,
            data.valid_pairs,
            quantization=config.quantizations,
            calibration=data.calibration,
            max_source_length=config.max_length,
            languages=config.languages,
        )
        for report in reports.values():
            print(f"  {report.path}: see report.md there", flush=True)
    return Result(model, data.tokenizer, scores, reports)


def fit(config, model, data, folder):
    """Trains `model`, and gives that of the best epoch."""
    best = folder / BACKUP / "best.keras"
    best.parent.mkdir(exist_ok=True)
    model.fit(
        data.train,
        validation_data=data.valid,
        epochs=config.epochs,
        shuffle=False,  # the pipeline does
        verbose="auto" if sys.stdout.isatty() else 2,
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            keras.callbacks.ModelCheckpoint(
                str(best),
                save_best_only=True,
                # After a stop, an epoch must beat the best of those before it.
                initial_value_threshold=loss_of(best, data.valid),
            ),
            # After the best: a kill between the two repeats an epoch, and loses none.
            keras.callbacks.BackupAndRestore(
                str(folder / BACKUP / "last"), double_checkpoint=True, delete_checkpoint=False
            ),
        ],
    )
    if not best.exists():
        raise ValueError(
            "The loss must be finite, and it was not: try a lower --learning-rate or a longer "
            f"--warmup-steps. Received: learning_rate={config.learning_rate}, "
            f"warmup_steps={config.warmup_steps}"
        )
    # Without the optimizer and the loss: a third of the size, and it loads with the zoo alone.
    model = keras.saving.load_model(best, compile=False)
    model.save(best.with_name("model.keras"))
    best.with_name("model.keras").replace(folder / "model.keras")
    return model


def loss_of(file, dataset):
    """The loss of a saved model; infinite if there is no whole one."""
    try:
        return keras.saving.load_model(file).evaluate(dataset, verbose=0)
    except (OSError, ValueError):
        return float("inf")


def evaluate(config, model, data):
    """BLEU and chrF of greedy search on the held-out pairs."""
    limits = {"max_source_length": config.max_length, "max_target_length": config.max_length}
    start = time.perf_counter()
    reference = KerasReference(model, data.tokenizer, data.valid_pairs, limits)
    seconds = time.perf_counter() - start
    scores = {}
    for name, metric in (("BLEU", sacrebleu.BLEU()), ("chrF", sacrebleu.CHRF())):
        scores[name] = metric.corpus_score(reference.texts, [reference.references]).score
        print(f"{name} {scores[name]:.2f}   {metric.get_signature()}")
    print(f"{len(reference.texts)} held-out sources in {seconds:.1f} s")
    return scores


def main(arguments=None):
    """The command line."""
    run_recipe(__doc__, Config, train, arguments)


if __name__ == "__main__":
    main()
