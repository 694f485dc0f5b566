"""Training: options, optimizer, evaluations, and errors that end it."""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from bag_model import TRAINING, Bag

from random_models import mostly_long
from seq2lite import zoo
from seq2lite.recipes.data.splits import spread
from seq2lite.recipes.training.fit import fit
from seq2lite.recipes.training.loss import SmoothedCrossentropy
from seq2lite.recipes.training.optimizer import compile_for_training
from seq2lite.recipes.training.options import Training

MODELS = {
    "transformer": {"num_layers": 1, "model_dim": 32, "num_heads": 2, "feed_forward_dim": 64},
    "rnn_seq2seq": {"cell": "lstm", "num_layers": 1, "embedding_dim": 16, "hidden_dim": 24},
}


def small_model(tokenizer, family="transformer", **options):
    keras.utils.set_random_seed(3)
    return getattr(zoo, family)(**MODELS[family], **tokenizer.vocabulary, **options)


def bag(tokenizer):
    keras.utils.set_random_seed(3)
    return Bag(**tokenizer.vocabulary)


def files_in(folder):
    return sorted(file.name for file in folder.rglob("*.npz"))


@pytest.mark.parametrize("family", mostly_long(["bag", *MODELS], short=["bag"]))
def test_training_lowers_the_loss_and_returns_the_best_weights(data, tokenizer, family, tmp_path):
    model = bag(tokenizer) if family == "bag" else small_model(tokenizer, family)
    result = fit(model, data, TRAINING, tmp_path)
    first, second = result.history.evaluations
    assert (first["evaluation"], second["evaluation"]) == (1, 2)
    assert second["loss"] < first["loss"] < math.log(tokenizer.vocabulary_size) + 0.5
    nats = tokens = 0.0  # as a plain loop: the mean over all tokens
    for inputs, following, weight in data.valid.dataset().as_numpy_iterator():
        logits = np.array(result.model(inputs), np.float64)
        sums = np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1)) + logits.max(-1)
        true = np.take_along_axis(logits, following[..., None], -1)[..., 0]
        nats += ((sums - true) * weight).sum()
        tokens += weight.sum()
    assert nats / tokens == pytest.approx(min(first["val_loss"], second["val_loss"]), rel=1e-5)


def test_accumulated_batches_make_one_step_of_their_mean_gradient(tokenizer, data):
    """And the first of them alone makes none."""
    options = {"clip_norm": 0.0, "schedule": "constant", "label_smoothing": 0.0}
    two = list(data.train.dataset(0, 2).as_numpy_iterator())
    model, other = bag(tokenizer), bag(tokenizer)
    training = dataclasses.replace(TRAINING, accumulate=2, warmup_steps=1, **options)
    compile_for_training(model, training, 100)
    steps = [model.get_weights()]
    collect = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_, **__: steps.append(model.get_weights())
    )
    model.fit(data.train.dataset(0, 2), verbose=0, shuffle=False, callbacks=[collect])
    for before, after in zip(*steps[:2], strict=True):
        np.testing.assert_array_equal(before, after)
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
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_tensorboard_finds_the_numbers_of_every_evaluation(tokenizer, data, tmp_path):
    fit(bag(tokenizer), data, dataclasses.replace(TRAINING, tensorboard=True), tmp_path)
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
    "family, given, peak",
    [("transformer", 0, 2e-3), ("rnn_seq2seq", 0, 4e-3), ("rnn_seq2seq", 1e-3, 1e-3)],
)
def test_the_default_learning_rate_is_the_familys(tokenizer, family, given, peak):
    model = small_model(tokenizer, family)
    training = dataclasses.replace(TRAINING, learning_rate=given, schedule="constant")
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


def test_an_evaluation_with_weights_that_are_not_finite_is_not_saved(tokenizer, data, tmp_path):
    model, last = bag(tokenizer), data.train.num_batches - 1

    class Spoil(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == last and len(files_in(tmp_path)) == 1:
                self.model.set_weights([w * np.nan for w in self.model.get_weights()])

    plain = model.fit
    model.fit = lambda *args, callbacks, **rest: plain(
        *args, callbacks=[Spoil(), *callbacks], **rest
    )
    expected = r"held-out loss must be finite.*in evaluation 2, which is not saved"
    with pytest.raises(ValueError, match=expected):
        fit(model, data, TRAINING, tmp_path)
    assert files_in(tmp_path) == ["checkpoint-000001.npz"]


def test_intervals_are_equal_and_exceed_the_epochs_by_little(tokenizer, data, tmp_path):
    num_batches = data.train.num_batches
    for steps, count in ((10**6, 1), (num_batches - 1, 2)):
        training = dataclasses.replace(TRAINING, epochs=1, checkpoint_steps=steps)
        model = bag(tokenizer)
        assert len(fit(model, data, training, tmp_path / str(steps)).history) == count
        assert num_batches <= int(model.optimizer.iterations) < num_batches + count


def test_a_loss_that_is_not_finite_names_its_batch_at_once(tokenizer, data, tmp_path):
    number, train = 3, data.train

    class Infinite(keras.losses.Loss):
        """NaN for batches with as many target tokens as batch 3."""

        def call(self, targets, logits):
            is_length = keras.ops.equal(keras.ops.shape(targets)[1], length)
            return keras.ops.where(is_length, np.nan, keras.ops.mean(logits, -1) ** 2)

    shapes = [b[1].shape for b in train.dataset(0, number + 1).as_numpy_iterator()]
    length = shapes[number][1]
    first = [shape[1] for shape in shapes].index(length)
    model = bag(tokenizer)
    plain = model.compile
    model.compile = lambda optimizer, loss, **rest: plain(optimizer, Infinite(), **rest)
    named = "; ".join(str(train.pairs.lines[i]) for i in train.pairs_of(first)[:8])
    with pytest.raises(ValueError, match=rf"nan at batch {first} \(lines {named}( and | of )"):
        fit(model, data, TRAINING, tmp_path)


def with_losses(tokenizer, loss_of):
    """A model whose loss is a function of the number of the batch."""
    model = bag(tokenizer)

    class Given(keras.losses.Loss):
        def call(self, targets, logits):
            return loss_of(model.optimizer.iterations) + 0 * keras.ops.mean(logits, -1)

    plain = model.compile
    model.compile = lambda optimizer, loss, **rest: plain(
        optimizer, Given(reduction="mean_with_sample_weight"), **rest
    )
    return model


def test_a_loss_that_falls_and_rises_above_a_guess_again_has_diverged(tokenizer, data, tmp_path):
    where, steps = keras.ops.where, data.train.num_batches
    model = with_losses(tokenizer, lambda n: where(n < 1, 500.0, where(n < steps, 3.0, 90.0)))
    with pytest.raises(ValueError, match=r"Received: 90.00 before evaluation 2; the training has"):
        fit(model, data, TRAINING, tmp_path)


@pytest.fixture
def diverging(tokenizer):
    """A model whose loss is above that of a guess, and finite, after the first batch."""
    return with_losses(tokenizer, lambda number: keras.ops.where(number > 0, 50.0, 5.0))


def test_a_training_that_diverges_is_explained_and_its_earlier_checkpoints_stay(
    diverging, data, tmp_path
):
    for _ in range(2):  # the same command gives the same error
        with pytest.raises(ValueError, match=r"50.00 before evaluation 2; .* diverged.*--finish"):
            fit(diverging, data, TRAINING, tmp_path)
        assert files_in(tmp_path) == ["checkpoint-000001.npz"]


def test_a_loss_that_falls_from_above_a_guess_has_not_diverged(tokenizer, data, tmp_path):
    model = with_losses(tokenizer, lambda number: 500.0 - keras.ops.cast(number, "float32"))
    history = fit(model, data, TRAINING, tmp_path).history
    losses = [evaluation["loss"] for evaluation in history.evaluations]
    assert 50 < losses[1] < losses[0] < history.first_loss == 500


def test_a_loss_that_rises_by_less_than_a_nat_above_a_guess_has_not_diverged(
    tokenizer, data, tmp_path
):
    steps = data.train.num_batches
    model = with_losses(tokenizer, lambda number: keras.ops.where(number < steps, 50.0, 50.9))
    history = fit(model, data, TRAINING, tmp_path).history
    assert history.evaluations[1]["loss"] == pytest.approx(50.9)


def test_a_training_that_diverges_in_a_long_interval_ends_within_it(diverging, data, tmp_path):
    epochs = -(-150 // data.train.num_batches)
    steps = epochs * data.train.num_batches
    # The warm-up is a tenth of the training at most.
    training = dataclasses.replace(
        TRAINING, epochs=epochs, checkpoint_steps=steps, warmup_steps=10**6
    )
    with pytest.raises(
        ValueError, match=r"Received: 49\.5\d before evaluation 1; the training has"
    ):
        fit(diverging, data, training, tmp_path)
    assert int(diverging.optimizer.iterations) == 101


def test_spread_items_come_from_the_whole_list():
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
        ({"precision": "int8"}, "`precision` must be one of auto, float32"),
        ({"alpha": 0.1, "data_service": "grpc://x:1"}, "`alpha` must be 0 with a data service"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ValueError) as error:
        Training(**options)
    assert message in str(error.value)
