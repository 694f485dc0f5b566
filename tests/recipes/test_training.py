"""Training: rounds, checkpoints, averages, what stops it, and what is said then."""

import dataclasses
import math
from collections import namedtuple
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2lite import zoo
from seq2lite.recipes.data.batches import Batches
from seq2lite.recipes.data.pairs import read_pairs
from seq2lite.recipes.data.samples import VSCODE_VALID
from seq2lite.recipes.data.splits import spread
from seq2lite.recipes.evaluation.decoding import Score
from seq2lite.recipes.run.report import _shipped
from seq2lite.recipes.training.checkpoints import Checkpoints
from seq2lite.recipes.training.evaluations import best_round, nats_a_token
from seq2lite.recipes.training.fit import fit
from seq2lite.recipes.training.loss import SmoothedCrossentropy
from seq2lite.recipes.training.optimizer import compile_for_training
from seq2lite.recipes.training.options import Training

TRAINING = Training(
    epochs=2,
    batch_tokens=256,
    learning_rate=2e-3,
    warmup_steps=3,
    score_pairs=0,
    precision="float32",
)


MODELS = {
    "transformer": {"num_layers": 1, "model_dim": 32, "num_heads": 2, "feed_forward_dim": 64},
    "rnn_seq2seq": {"cell": "lstm", "num_layers": 1, "embedding_dim": 16, "hidden_dim": 24},
}


@pytest.fixture(scope="module")
def batches(tokenizer):
    pairs = read_pairs(VSCODE_VALID)
    options = {"max_length": 24, "batch_tokens": 256}
    train = Batches(pairs.where(lambda s, _: len(s) < 40, "long"), tokenizer, seed=1, **options)
    return train, Batches(pairs[:8], tokenizer, **options)


def small_model(tokenizer, family="transformer", **options):
    keras.utils.set_random_seed(3)
    return getattr(zoo, family)(**MODELS[family], **tokenizer.vocabulary, **options)


@pytest.mark.parametrize("family", list(MODELS))
def test_training_lowers_the_loss_and_gives_the_best_round(batches, tokenizer, family, tmp_path):
    model, history = fit(small_model(tokenizer, family), *batches, TRAINING, tmp_path)
    assert [h["round"] for h in history] == [1, 2]
    assert history[1]["loss"] < history[0]["loss"] < math.log(tokenizer.vocabulary_size) + 0.5
    nats = tokens = 0.0  # as a plain loop: the mean over all tokens
    for inputs, following, weight in batches[1].dataset().as_numpy_iterator():
        logits = np.array(model(inputs), np.float64)
        sums = np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1)) + logits.max(-1)
        true = np.take_along_axis(logits, following[..., None], -1)[..., 0]
        nats += ((sums - true) * weight).sum()
        tokens += weight.sum()
    assert nats / tokens == pytest.approx(min(h["val_loss"] for h in history), rel=1e-5)


def test_accumulated_batches_make_one_step_of_their_mean_gradient(tokenizer, batches):
    """And the first of them alone makes none."""
    options = {"clip_norm": 0.0, "schedule": "constant", "label_smoothing": 0.0}
    two = list(batches[0].dataset(0, 2).as_numpy_iterator())
    model, other = small_model(tokenizer), small_model(tokenizer)
    training = dataclasses.replace(TRAINING, accumulate=2, warmup_steps=1, **options)
    compile_for_training(model, training, 100)
    before = model.get_weights()
    model.train_on_batch(*two[0])
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    model.train_on_batch(*two[1])
    gradients = []
    for inputs, following, weight in two:
        with tf.GradientTape() as tape:
            loss = SmoothedCrossentropy(0.0)(following, other(inputs, training=True), weight)
        found = tape.gradient(loss, other.trainable_variables)
        gradients.append([tf.convert_to_tensor(gradient) for gradient in found])
    # The rate is of the second batch, at which the step is made.
    optimizer = keras.optimizers.AdamW(TRAINING.learning_rate, weight_decay=0.0, beta_2=0.98)
    optimizer.apply(
        [(g + h) / 2 for g, h in zip(*gradients, strict=True)], other.trainable_variables
    )
    for found, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        if found.ndim > 1:  # Adam makes steps of rounding alone of the biases of attention's keys
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_tensorboard_finds_every_rounds_numbers(tokenizer, batches, tmp_path):
    fit(small_model(tokenizer), *batches, dataclasses.replace(TRAINING, tensorboard=True), tmp_path)
    written = {}
    for file in (tmp_path / "tensorboard").glob("*/events.*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                written.setdefault((file.parent.name, value.tag), []).append(event.step)
    assert written["train", "epoch_loss"] == written["validation", "epoch_loss"] == [0, 1]
    assert written["train", "epoch_learning_rate"] == [0, 1]


def test_without_tensorboard_its_logs_are_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'seq2lite\[tensorboard\]'. Received"):
        Training(tensorboard=True)


@pytest.mark.parametrize(
    "family, asked, peak",
    [("transformer", 0, 2e-3), ("rnn_seq2seq", 0, 4e-3), ("rnn_seq2seq", 1e-3, 1e-3)],
)
def test_a_learning_rate_that_is_not_asked_for_is_the_familys(tokenizer, family, asked, peak):
    model = small_model(tokenizer, family)
    training = dataclasses.replace(TRAINING, learning_rate=asked, schedule="constant")
    compile_for_training(model, training, 100)
    model.optimizer.iterations.assign(50)
    assert float(model.optimizer.learning_rate) == pytest.approx(peak)


@pytest.mark.parametrize("cell", [None, "gru", "lstm"])
def test_weight_decay_leaves_biases_and_scales_alone(tokenizer, cell):
    family = "rnn_seq2seq" if cell else "transformer"
    sizes = MODELS[family] | ({"cell": cell} if cell else {})
    model = getattr(zoo, family)(**sizes, **tokenizer.vocabulary)
    compile_for_training(model, dataclasses.replace(TRAINING, weight_decay=0.1), 100)
    model.optimizer.build(model.trainable_variables)
    for variable in model.trainable_variables:
        decays = model.optimizer._use_weight_decay(variable)
        is_matrix = not variable.path.endswith(("bias", "scale", "gamma", "beta"))
        assert decays == is_matrix, variable.path


def test_what_ships_is_the_mean_of_the_last_rounds(tokenizer, batches, tmp_path):
    model = small_model(tokenizer)
    compile_for_training(model, TRAINING, 100)
    checkpoints = Checkpoints(tmp_path, model, keep=4)
    rounds = []
    for number in (1, 2, 3):
        model.set_weights([w + number for w in model.get_weights()])
        rounds.append(model.get_weights())
        checkpoints.save([{}] * number)
    for found, *expected in zip(checkpoints.averaged(3, 2)[0], *rounds[1:], strict=True):
        np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=1e-6, atol=1e-6)
    for found, expected in zip(checkpoints.averaged(1, 2)[0], rounds[0], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_average_of_weights_is_what_ships_and_training_goes_on_without(
    tokenizer, batches, tmp_path
):
    training = dataclasses.replace(TRAINING, ema=0.5)
    model = small_model(tokenizer)
    compile_for_training(model, training, 100)
    checkpoints = Checkpoints(tmp_path, model)
    expected, raw = None, None
    for batch in batches[0].dataset(0, 5).as_numpy_iterator():
        model.train_on_batch(*batch)
        raw = model.get_weights()
        expected = (
            raw if expected is None else [(a + b) / 2 for a, b in zip(expected, raw, strict=True)]
        )
    for found, average, now, was in zip(
        checkpoints.weights(), expected, model.get_weights(), raw, strict=True
    ):
        np.testing.assert_allclose(found, average, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(now, was)


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_torn_checkpoint_is_noticed_and_the_one_before_it_used(
    tokenizer, tmp_path, capsys, damage
):
    model = small_model(tokenizer)
    compile_for_training(model, TRAINING, 100)
    checkpoints = Checkpoints(tmp_path, model)
    checkpoints.save([{"round": 1}])
    first = model.get_weights()
    model.set_weights([w + 1 for w in first])
    checkpoints.save([{"round": 1}, {"round": 2}])
    file = tmp_path / "round-000002.npz"
    content = bytearray(file.read_bytes())
    if damage == "changed":
        content[len(content) // 2] ^= 1
    file.write_bytes({"cut": content[:-99], "changed": content, "empty": b""}[damage])
    assert checkpoints.restore() == [{"round": 1}]
    assert "round-000002.npz is torn; the one before it is used" in capsys.readouterr().err
    for found, expected in zip(model.get_weights(), first, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_training_goes_on_from_the_round_before_a_torn_one(tokenizer, batches, tmp_path, capsys):
    training = dataclasses.replace(TRAINING, epochs=3, average=2)
    whole, expected = fit(small_model(tokenizer), *batches, training, tmp_path / "whole")
    fit(small_model(tokenizer), *batches, training, tmp_path / "torn")
    file = tmp_path / "torn" / "checkpoints" / "round-000003.npz"
    file.write_bytes(file.read_bytes()[:-99])
    model, history = fit(small_model(tokenizer), *batches, training, tmp_path / "torn")
    assert "goes on after round 2 of 3" in capsys.readouterr().out
    assert [h["val_loss"] for h in history] == [h["val_loss"] for h in expected]
    for found, weights in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(found, weights)


def test_a_round_that_ends_in_weights_that_are_no_numbers_is_not_kept(tokenizer, batches, tmp_path):
    model = small_model(tokenizer)
    number = batches[0].num_batches - 1

    class Spoil(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == number and len(list(tmp_path.rglob("round-*.npz"))) == 1:
                self.model.set_weights([w * np.nan for w in self.model.get_weights()])

    plain = model.fit
    model.fit = lambda *args, callbacks, **rest: plain(
        *args, callbacks=[Spoil(), *callbacks], **rest
    )
    with pytest.raises(
        ValueError, match=r"held-out text must be finite.*after round 2, which is not"
    ):
        fit(model, *batches, TRAINING, tmp_path)
    assert [file.name for file in tmp_path.rglob("*.npz")] == ["round-000001.npz"]


def test_rounds_are_alike_and_go_little_beyond_the_epochs(tokenizer, batches, tmp_path):
    for steps, rounds in ((10**6, 1), (batches[0].num_batches - 1, 2)):
        training = dataclasses.replace(TRAINING, epochs=1, checkpoint_steps=steps)
        model = small_model(tokenizer)
        _, history = fit(model, *batches, training, tmp_path / str(steps))
        assert len(history) == rounds
        done = int(model.optimizer.iterations)
        assert batches[0].num_batches <= done < batches[0].num_batches + rounds


def test_a_checkpoint_of_another_model_is_refused(tokenizer, tmp_path):
    model, other = small_model(tokenizer), small_model(tokenizer, "rnn_seq2seq")
    for each in (model, other):
        compile_for_training(each, TRAINING, 100)
    Checkpoints(tmp_path, model).save([{}])
    with pytest.raises(ValueError, match="must hold this model and optimizer"):
        Checkpoints(tmp_path, other).restore()


def test_a_full_disk_is_explained_and_leaves_the_earlier_checkpoint(
    tokenizer, tmp_path, monkeypatch
):
    model = small_model(tokenizer)
    compile_for_training(model, TRAINING, 100)
    checkpoints = Checkpoints(tmp_path, model)
    checkpoints.save([{}])

    def no_space(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", no_space)
    with pytest.raises(OSError, match=r"A checkpoint of .* MB must be written .* No space left"):
        checkpoints.save([{}, {}])
    assert [file.name for file in tmp_path.iterdir()] == ["round-000001.npz"]
    assert checkpoints.restore() == [{}]


def test_the_best_score_is_kept_and_patience_ends_the_training(tokenizer, batches, tmp_path):
    marks = iter([1.0, 5.0, 3.0, 2.0, 9.0])
    score = Score(
        "mark", lambda outputs, references: {"mark": next(marks)}, lambda m, s: s, [("a", "b")]
    )
    training = dataclasses.replace(TRAINING, epochs=5, patience=2, score_pairs=1)
    seen = []

    class Recorder:
        def __call__(self, model, sources):
            seen.append(model.get_weights())
            return sources

    score = dataclasses.replace(score, decode=Recorder())
    model, history = fit(small_model(tokenizer), *batches, training, tmp_path, score)
    assert [h["mark"] for h in history] == [1.0, 5.0, 3.0, 2.0]
    for found, expected in zip(model.get_weights(), seen[1], strict=True):
        np.testing.assert_array_equal(found, expected)
    # The same command again: it is enough already.
    model, history = fit(small_model(tokenizer), *batches, training, tmp_path, score)
    assert len(history) == 4


def test_a_run_can_be_finished_where_it_stopped(tokenizer, batches, tmp_path, monkeypatch):
    marks = iter([{"mark": -1}, {"mark": -2}])

    def measure(outputs, references):
        try:
            return next(marks)
        except StopIteration:
            raise KeyboardInterrupt from None

    score = Score("mark", measure, lambda m, s: s, [("a", "b")])
    training = dataclasses.replace(TRAINING, epochs=5, score_pairs=1)
    with pytest.raises(KeyboardInterrupt):
        fit(small_model(tokenizer), *batches, training, tmp_path, score)
    training = dataclasses.replace(training, finish=True)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(0))  # no more checkpoints are written
    model, history = fit(small_model(tokenizer), *batches, training, tmp_path, score)
    assert [h["mark"] for h in history] == [-1, -2]
    nats = nats_a_token(model, batches[1])
    assert nats == pytest.approx(history[0]["val_loss"], rel=1e-5) != history[1]["val_loss"]


def test_of_equal_scores_the_least_loss_is_best():
    history = [{"WER": 100.0, "val_loss": loss} for loss in (3.0, 1.0, 2.0)]
    for mode in ("min", "max"):
        assert best_round(history, Score("WER", None, None, [], mode)) == 2
    history[2]["WER"] = 99.0
    assert best_round(history, Score("WER", None, None, [], "min")) == 3
    assert best_round(history, Score("WER", None, None, [], "max")) == 2
    assert best_round(history) == best_round(history, Score("chrF", None, None, [])) == 2


def test_the_best_round_before_a_torn_best_one_is_there(tokenizer, batches, tmp_path):
    marks = [1.0, 5.0, 3.0, 4.0, 9.0]
    left = iter(marks)
    score = Score("mark", lambda *_: {"mark": next(left)}, lambda m, s: s, [("a", "b")])
    training = dataclasses.replace(TRAINING, epochs=5, score_pairs=1)
    fit(small_model(tokenizer), *batches, training, tmp_path, score)
    files = sorted((tmp_path / "checkpoints").iterdir())
    assert [file.stem for file in files] == [f"round-00000{n}" for n in (2, 4, 5)]
    files[-1].write_bytes(b"torn")
    training = dataclasses.replace(training, finish=True)
    _, history = fit(small_model(tokenizer), *batches, training, tmp_path, score)
    assert [h["mark"] for h in history] == marks[:4] and best_round(history, score) == 2


@pytest.mark.parametrize("average", [1, 2])
def test_the_best_round_still_there_ships_where_the_best_one_is_torn(
    tokenizer, batches, tmp_path, capsys, average
):
    left = iter([1.0, 2.0, 9.0, 4.0, 3.0])
    score = Score("mark", lambda *_: {"mark": next(left)}, lambda m, s: s, [("a", "b")])
    training = dataclasses.replace(TRAINING, epochs=5, score_pairs=1, average=average)
    fit(small_model(tokenizer), *batches, training, tmp_path, score)
    (tmp_path / "checkpoints" / "round-000003.npz").write_bytes(b"torn")
    model, history = fit(small_model(tokenizer), *batches, training, tmp_path, score)
    assert "round-000003.npz is torn, and left out" in capsys.readouterr().err
    assert [h["round"] for h in history if h.get("is_lost")] == [3]
    assert best_round(history, score) == 4
    # Of the mean of rounds 3 and 4, too, round 4 is what is left.
    with np.load(tmp_path / "checkpoints" / "round-000004.npz") as arrays:
        for i, weights in enumerate(model.get_weights()):
            np.testing.assert_array_equal(weights, arrays[f"model{i:05}"])
    assert _shipped(SimpleNamespace(training=training), history, score) == (
        "Round 4 ships, by the best mark on held-out text. Lost, as torn or no longer kept: round 3."
    )


def test_of_a_mean_with_a_torn_round_the_report_says_which_it_is_of(tokenizer, batches, tmp_path):
    left = iter([1.0, 2.0, 3.0])
    score = Score("mark", lambda *_: {"mark": next(left)}, lambda m, s: s, [("a", "b")])
    training = dataclasses.replace(TRAINING, epochs=3, score_pairs=1, average=3)
    fit(small_model(tokenizer), *batches, training, tmp_path, score)
    rounds = []
    for number in (1, 3):
        with np.load(tmp_path / "checkpoints" / f"round-{number:06}.npz") as arrays:
            rounds.append([arrays[n] for n in sorted(arrays) if n.startswith("model")])
    (tmp_path / "checkpoints" / "round-000002.npz").write_bytes(b"torn")
    model, history = fit(small_model(tokenizer), *batches, training, tmp_path, score)
    for found, *expected in zip(model.get_weights(), *rounds, strict=False):
        np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=1e-6, atol=1e-6)
    assert _shipped(SimpleNamespace(training=training), history, score) == (
        "The mean of rounds 1 and 3 ships, by the best mark on held-out text. "
        "Lost, as torn or no longer kept: round 2."
    )


def test_a_checkpoint_that_cannot_be_read_is_not_taken_for_torn(tokenizer, tmp_path, monkeypatch):
    model = small_model(tokenizer)
    compile_for_training(model, TRAINING, 100)
    checkpoints = Checkpoints(tmp_path, model)
    checkpoints.save([{"round": 1}])

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.read_bytes", refused)
        with pytest.raises(PermissionError):
            checkpoints.restore()
    assert checkpoints.restore() == [{"round": 1}]


def test_nothing_is_finished_where_all_checkpoints_are_torn(tokenizer, batches, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "round-000001.npz").write_bytes(b"torn")
    training = dataclasses.replace(TRAINING, finish=True)
    with pytest.raises(ValueError, match="`finish` must find a whole checkpoint"):
        fit(small_model(tokenizer), *batches, training, tmp_path)


def test_a_run_goes_on_with_its_own_tokenizer_alone(tokenizer, batches, tmp_path):
    training = dataclasses.replace(TRAINING, epochs=1)
    fit(small_model(tokenizer), *batches, training, tmp_path)
    assert (tmp_path / "tokenizer.model").read_bytes() == tokenizer.model_bytes
    (tmp_path / "tokenizer.model").write_bytes(tokenizer.model_bytes[:-1])
    with pytest.raises(ValueError, match="must be the tokenizer that this run learns"):
        fit(small_model(tokenizer), *batches, training, tmp_path)


def test_a_loss_that_is_no_number_names_its_batch_at_once(tokenizer, batches, tmp_path):
    number = 3

    class Endless(keras.losses.Loss):
        """No number where the batch has as many target tokens as batch 3."""

        def call(self, targets, logits):
            at = keras.ops.equal(keras.ops.shape(targets)[1], length)
            return keras.ops.where(at, np.nan, keras.ops.mean(logits, -1) ** 2)

    shapes = [b[1].shape for b in batches[0].dataset(0, number + 1).as_numpy_iterator()]
    length = shapes[number][1]
    first = [shape[1] for shape in shapes].index(length)
    model = small_model(tokenizer)
    plain = model.compile
    model.compile = lambda optimizer, loss, **rest: plain(optimizer, Endless(), **rest)
    named = "; ".join(str(batches[0].pairs.lines[i]) for i in batches[0].pairs_of(first)[:8])
    with pytest.raises(
        ValueError, match=rf"finite. Received: nan at batch {first}, of lines {named}"
    ):
        fit(model, *batches, TRAINING, tmp_path)


def with_losses(tokenizer, loss_of):
    """A model whose loss is a function of the number of the batch."""
    model = small_model(tokenizer)

    class Given(keras.losses.Loss):
        def call(self, targets, logits):
            return loss_of(model.optimizer.iterations) + 0 * keras.ops.mean(logits, -1)

    plain = model.compile
    model.compile = lambda optimizer, loss, **rest: plain(
        optimizer, Given(reduction="mean_with_sample_weight"), **rest
    )
    return model


def test_a_loss_that_rises_above_a_guess_again_has_diverged(tokenizer, batches, tmp_path):
    steps = batches[0].num_batches
    model = with_losses(
        tokenizer,
        lambda number: keras.ops.where(
            number < 1, 500.0, keras.ops.where(number < steps, 3.0, 90.0)
        ),
    )
    with pytest.raises(ValueError, match=r"Received: 90.00 in round 2: the training has diverged"):
        fit(model, *batches, TRAINING, tmp_path)


def test_a_file_that_is_no_rounds_is_no_checkpoint(tokenizer, batches, tmp_path):
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "round-best.npz").write_bytes(b"a user's copy")
    fit(small_model(tokenizer), *batches, TRAINING, tmp_path)
    assert (checkpoints / "round-best.npz").exists()


@pytest.fixture
def diverging(tokenizer):
    """A model whose loss is above that of a guess, and finite, after the first batch."""
    return with_losses(tokenizer, lambda number: keras.ops.where(number > 0, 50.0, 5.0))


def test_a_training_that_diverges_is_explained_and_its_earlier_rounds_stay(
    diverging, batches, tmp_path
):
    for _ in range(2):  # the same command says it again
        with pytest.raises(
            ValueError, match=r"Received: 50.00 in round 2: the training has diverged"
        ):
            fit(diverging, *batches, TRAINING, tmp_path)
        assert [file.name for file in tmp_path.rglob("*.npz")] == ["round-000001.npz"]


def test_a_loss_that_falls_from_above_a_guess_has_not_diverged(tokenizer, batches, tmp_path):
    model = with_losses(tokenizer, lambda number: 500.0 - keras.ops.cast(number, "float32"))
    _, history = fit(model, *batches, TRAINING, tmp_path)
    assert 50 < history[1]["loss"] < history[0]["loss"] < history[0]["began"] == 500


def test_a_loss_that_rises_by_less_than_a_nat_above_a_guess_has_not_diverged(
    tokenizer, batches, tmp_path
):
    steps = batches[0].num_batches
    model = with_losses(tokenizer, lambda number: keras.ops.where(number < steps, 50.0, 50.9))
    _, history = fit(model, *batches, TRAINING, tmp_path)
    assert history[1]["loss"] == pytest.approx(50.9)


def test_a_training_that_diverges_in_a_long_round_does_not_end_it(diverging, batches, tmp_path):
    epochs = -(-150 // batches[0].num_batches)
    steps = epochs * batches[0].num_batches
    # The warm-up is a tenth of the training at most.
    training = dataclasses.replace(
        TRAINING, epochs=epochs, checkpoint_steps=steps, warmup_steps=10**6
    )
    with pytest.raises(
        ValueError, match=r"Received: 49\.5\d in round 1: the training has diverged"
    ):
        fit(diverging, *batches, training, tmp_path)
    assert int(diverging.optimizer.iterations) == 101


@pytest.mark.parametrize(("num_rounds", "count"), [(1, 1), (3, 3), (9, 5)])
def test_room_for_the_checkpoints_is_there_before_work_begins(
    tokenizer, tmp_path, monkeypatch, num_rounds, count
):
    """Of the last two, the best one, the best before this round, and the one that is written."""
    model = small_model(tokenizer)
    compile_for_training(model, TRAINING, 100)
    checkpoints = Checkpoints(tmp_path / "of one round", model)
    checkpoints.save([{}])
    size = next(checkpoints.folder.iterdir()).stat().st_size
    checkpoints = Checkpoints(tmp_path / "new", model)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(count * size))
    checkpoints.require_space(num_rounds)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(0.8 * count * size))
    with pytest.raises(OSError, match=r"must have room for .* MB of checkpoints. Received: "):
        checkpoints.require_space(num_rounds)


def test_what_is_spread_is_from_all_over():
    assert spread(list(range(10)), 3) == [0, 4, 8]
    assert spread([1, 2], 5) == [1, 2] and spread([1, 2], 0) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1. Received: 0"),
        (
            {"learning_rate": math.nan},
            "`learning_rate` must be finite and at least 0. Received: nan",
        ),
        ({"ema": 1.0}, "`ema` must be from 0 to 0.999999. Received: 1.0"),
        ({"precision": "int8"}, "`precision` must be of auto, float32"),
        ({"alpha": 0.1, "data_service": "grpc://x:1"}, "`alpha` must be 0 with a data service"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ValueError) as error:
        Training(**options)
    assert message in str(error.value)
