"""Checkpoints: what they contain, how a training resumes from them, and which one is exported."""

import dataclasses
import json
from collections import namedtuple

import keras
import numpy as np
import pytest
from bag_model import TRAINING, Bag

from seq2lite.recipes.evaluation.decoding import Score
from seq2lite.recipes.run.report import describe_weights
from seq2lite.recipes.training.checkpoints import Checkpoints
from seq2lite.recipes.training.evaluations import CrossEntropy
from seq2lite.recipes.training.fit import fit
from seq2lite.recipes.training.history import History
from seq2lite.recipes.training.optimizer import compile_for_training


@pytest.fixture
def new_model(tokenizer):
    """A function that makes the same model each time."""

    def make(**options):
        keras.utils.set_random_seed(3)
        return Bag(**tokenizer.vocabulary, **options)

    return make


@pytest.fixture
def compiled(new_model):
    """A function that makes the model, compiled."""

    def make(training=TRAINING, **options):
        model = new_model(**options)
        compile_for_training(model, training, 100)
        return model

    return make


def scores_of(values, mode="max"):
    """A Score whose number in each evaluation is the next of `values`."""
    values = iter(values)
    return Score("mark", lambda *_: {"mark": next(values)}, lambda m, s: s, [("a", "b")], mode)


def assert_equal(found, expected):
    for array, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, other)


def arrays_in(file):
    with np.load(file) as arrays:
        return dict(arrays)


def names_in(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_checkpoint_restores_every_variable_and_the_metadata(compiled, data, tmp_path):
    training = dataclasses.replace(TRAINING, ema=0.9, accumulate=2)
    model = compiled(training)
    checkpoints = Checkpoints(tmp_path, model)
    model.fit(data.train.dataset(0, 3), verbose=0, shuffle=False)
    checkpoints.save(3, {"evaluations": 3})
    other = compiled(training)  # Keras numbers its random states and its optimizer differently
    assert Checkpoints(tmp_path, other).restore() == {"evaluations": 3}
    assert_equal(other.variables, model.variables)
    assert_equal(other.optimizer.variables, model.optimizer.variables)
    assert len(model.optimizer.variables) > 4 * len(model.weights)
    assert any("seed" in variable.path for variable in model.variables)


def test_a_model_with_reordered_layers_restores_each_variable_by_its_path(compiled, data, tmp_path):
    model = compiled()
    model.fit(data.train.dataset(0, 2), verbose=0, shuffle=False)
    Checkpoints(tmp_path, model).save(1, {})
    other = compiled(names=("output", "dropout", "embedding"))
    assert [w.path for w in other.weights] != [w.path for w in model.weights]
    Checkpoints(tmp_path, other).restore()
    for num_batches in (0, 1):  # both continue to the same model, with the same dropout
        for each in (model, other) if num_batches else ():
            each.fit(data.train.dataset(2, num_batches), verbose=0, shuffle=False)
        weights = {weight.path: weight.numpy() for weight in other.weights}
        for weight in model.weights:
            # The global norm of the gradient is a sum in another order.
            np.testing.assert_allclose(
                weight, weights[weight.path], rtol=0, atol=1e-8 * num_batches
            )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"names": ("embeds", "output", "dropout")},
            r"model/embeds/embeddings missing \(model: \(1000, 8\)\)",
        ),
        (
            {"dim": 9},
            r"model/embedding/embeddings \(1000, 8\) \(model: \(1000, 9\)\).* and \d more",
        ),
        ({"names": ("embedding", "output", "drop")}, r"random/drop/seed_generator_state missing"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused_with_the_names(
    compiled, tmp_path, options, message
):
    Checkpoints(tmp_path, compiled()).save(1, {})
    with pytest.raises(ValueError, match=f"variables of this model and optimizer.*{message}"):
        Checkpoints(tmp_path, compiled(**options)).restore()


def test_a_checkpoint_of_another_optimizer_is_refused(compiled, tmp_path):
    Checkpoints(tmp_path, compiled(dataclasses.replace(TRAINING, accumulate=2))).save(1, {})
    with pytest.raises(ValueError, match=r"optimizer/\w+_gradient_accumulator"):
        Checkpoints(tmp_path, compiled()).restore()


def test_the_mean_of_checkpoints_is_averaged(compiled, tmp_path):
    model = compiled()
    checkpoints = Checkpoints(tmp_path, model, average=2)
    saved = []
    for number in (1, 2, 3):
        model.set_weights([w + number for w in model.get_weights()])
        saved.append(model.get_weights())
        checkpoints.save(number, {})
    for found, *expected in zip(checkpoints.averaged_weights(3)[0], *saved[1:], strict=True):
        np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=1e-6, atol=1e-6)
    assert_equal(checkpoints.averaged_weights(1)[0], saved[0])


def test_the_moving_average_is_exported_and_training_continues_without_it(compiled, data, tmp_path):
    model = compiled(dataclasses.replace(TRAINING, ema=0.5))
    checkpoints = Checkpoints(tmp_path, model)
    batch = next(iter(data.train.dataset()))
    expected = None
    for _ in range(5):
        model.train_on_batch(*batch)
        raw = model.get_weights()
        averages = [(a + b) / 2 for a, b in zip(expected or raw, raw, strict=True)]
        expected = averages
    for found, average in zip(checkpoints.weights(), expected, strict=True):
        np.testing.assert_allclose(found, average, rtol=1e-5, atol=1e-6)
    assert_equal(model.get_weights(), raw)
    checkpoints.save(1, {})
    for found, average in zip(checkpoints.averaged_weights(1)[0], expected, strict=True):
        np.testing.assert_allclose(found, average, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_corrupted_checkpoint_is_noticed_and_the_previous_one_used(
    compiled, tmp_path, capsys, damage
):
    model = compiled()
    checkpoints = Checkpoints(tmp_path, model)
    checkpoints.save(1, [1])
    first = model.get_weights()
    model.set_weights([w + 1 for w in first])
    checkpoints.save(2, [1, 2])
    file = tmp_path / "checkpoint-000002.npz"
    content = bytearray(file.read_bytes())
    if damage == "changed":
        content[len(content) // 2] ^= 1
    file.write_bytes({"cut": content[:-99], "changed": content, "empty": b""}[damage])
    assert checkpoints.restore() == [1]
    assert "000002.npz is corrupted; the previous one is used" in capsys.readouterr().err
    assert_equal(model.get_weights(), first)


def test_a_checkpoint_that_cannot_be_read_is_not_taken_for_corrupted(
    compiled, tmp_path, monkeypatch
):
    checkpoints = Checkpoints(tmp_path, compiled())
    checkpoints.save(1, [1])

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.read_bytes", refuse)
        with pytest.raises(PermissionError):
            checkpoints.restore()
    assert checkpoints.restore() == [1]


def test_a_full_disk_is_explained_and_leaves_the_previous_checkpoint(
    compiled, tmp_path, monkeypatch
):
    checkpoints = Checkpoints(tmp_path, compiled())
    checkpoints.save(1, [1])

    def no_space(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", no_space)
    with pytest.raises(OSError, match=r"A checkpoint of .* MB must be written .* No space left"):
        checkpoints.save(2, [1, 2])
    assert names_in(tmp_path) == ["checkpoint-000001.npz"]
    assert checkpoints.restore() == [1]


@pytest.mark.parametrize(("num_evaluations", "count"), [(1, 1), (3, 3), (9, 5)])
def test_space_for_the_checkpoints_is_checked_before_training(
    compiled, tmp_path, monkeypatch, num_evaluations, count
):
    """The last two, the best one, the best before the last one, and the one being written."""
    checkpoints = Checkpoints(tmp_path / "one", compiled())
    checkpoints.save(1, {})
    size = next(checkpoints.folder.iterdir()).stat().st_size
    checkpoints = Checkpoints(tmp_path / "new", compiled())
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(count * size))
    checkpoints.require_space(num_evaluations)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(0.8 * count * size))
    with pytest.raises(OSError, match=r"must have .* MB of free space for checkpoints. Received: "):
        checkpoints.require_space(num_evaluations)


def test_a_file_of_another_name_is_not_a_checkpoint(compiled, tmp_path):
    copy = tmp_path / "checkpoint-best.npz"
    copy.write_bytes(b"a user's copy")
    checkpoints = Checkpoints(tmp_path, compiled())
    assert checkpoints.restore() is None
    for number in (1, 2, 3, 4):  # more than are kept
        checkpoints.save(number, [number])
    assert checkpoints.restore() == [4]
    assert copy.exists()


def test_a_training_resumes_exactly_from_before_a_corrupted_checkpoint(
    new_model, data, tmp_path, capsys
):
    training = dataclasses.replace(TRAINING, epochs=3, average=2)
    expected = fit(new_model(), data, training, tmp_path / "unbroken")
    fit(new_model(), data, training, tmp_path / "corrupted")
    file = tmp_path / "corrupted" / "checkpoints" / "checkpoint-000003.npz"
    file.write_bytes(file.read_bytes()[:-99])
    result = fit(new_model(), data, training, tmp_path / "corrupted")
    assert "resumes after evaluation 2 of 3" in capsys.readouterr().out
    losses = [[e["val_loss"] for e in r.history.evaluations] for r in (result, expected)]
    assert losses[0] == losses[1]
    assert_equal(result.model.get_weights(), expected.model.get_weights())


def test_the_best_weights_are_kept_and_patience_ends_the_training(new_model, data, tmp_path):
    seen = []

    def decode(model, sources):
        seen.append(model.get_weights())
        return sources

    score = dataclasses.replace(scores_of([1.0, 5.0, 3.0, 2.0, 9.0]), decode=decode)
    training = dataclasses.replace(TRAINING, epochs=5, patience=2, score_pairs=1)
    result = fit(new_model(), data, training, tmp_path, score)
    assert [e["mark"] for e in result.history.evaluations] == [1.0, 5.0, 3.0, 2.0]
    assert_equal(result.model.get_weights(), seen[1])
    assert result.averaged == (2,) and result.is_complete
    # The same command again trains no more.
    again = fit(new_model(), data, training, tmp_path, score)
    assert len(again.history) == 4 and again.is_complete
    assert_equal(again.model.get_weights(), seen[1])


def test_a_stopped_training_can_be_finished(new_model, data, tmp_path, monkeypatch):
    marks = iter([-1, -2])

    def measure(outputs, references):
        try:
            return {"mark": next(marks)}
        except StopIteration:
            raise KeyboardInterrupt from None

    score = dataclasses.replace(scores_of([]), measure=measure)
    training = dataclasses.replace(TRAINING, epochs=5, score_pairs=1)
    with pytest.raises(KeyboardInterrupt):
        fit(new_model(), data, training, tmp_path, score)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(0))  # no more checkpoints are written
    training = dataclasses.replace(training, finish=True)
    result = fit(new_model(), data, training, tmp_path, score)
    evaluations = result.history.evaluations
    assert [e["mark"] for e in evaluations] == [-1, -2] and not result.is_complete
    nats = CrossEntropy(result.model).measure(data.valid)
    assert nats == pytest.approx(evaluations[0]["val_loss"], rel=1e-5) != evaluations[1]["val_loss"]


def test_of_equal_scores_the_lowest_loss_is_best():
    evaluations = [{"WER": 100.0, "val_loss": loss} for loss in (3.0, 1.0, 2.0)]
    histories = {mode: History("WER", mode, evaluations) for mode in ("min", "max")}
    assert histories["min"].best() == histories["max"].best() == 2
    evaluations[2]["WER"] = 99.0
    assert (histories["min"].best(), histories["max"].best()) == (3, 2)
    assert histories["min"].best(until=2) == 2
    assert History(evaluations=evaluations).best() == 2
    histories["max"].mark_lost([2])
    assert histories["max"].best() == 1 and histories["max"].num_since_best() == 2


def test_the_previous_best_checkpoint_is_kept_in_case_the_best_one_is_corrupted(
    new_model, data, tmp_path
):
    marks = [1.0, 5.0, 3.0, 4.0, 9.0]
    training = dataclasses.replace(TRAINING, epochs=5, score_pairs=1)
    fit(new_model(), data, training, tmp_path, scores_of(marks))
    files = names_in(tmp_path / "checkpoints")
    assert files == [f"checkpoint-00000{n}.npz" for n in (2, 4, 5)]
    (tmp_path / "checkpoints" / files[-1]).write_bytes(b"corrupted")
    training = dataclasses.replace(training, finish=True)
    history = fit(new_model(), data, training, tmp_path, scores_of([])).history
    assert [e["mark"] for e in history.evaluations] == marks[:4] and history.best() == 2


@pytest.mark.parametrize("average", [pytest.param(1, marks=pytest.mark.long), 2])
def test_the_best_intact_checkpoint_is_exported_if_the_best_one_is_corrupted(
    new_model, data, tmp_path, capsys, average
):
    training = dataclasses.replace(TRAINING, epochs=5, score_pairs=1, average=average)
    fit(new_model(), data, training, tmp_path, scores_of([1.0, 2.0, 9.0, 4.0, 3.0]))
    (tmp_path / "checkpoints" / "checkpoint-000003.npz").write_bytes(b"corrupted")
    result = fit(new_model(), data, training, tmp_path, scores_of([]))
    assert "checkpoint-000003.npz is corrupted and ignored" in capsys.readouterr().err
    assert result.history.lost() == [3] and result.history.best() == 4
    # The mean of evaluations 3 and 4, too, has only the weights of 4.
    arrays = arrays_in(tmp_path / "checkpoints" / "checkpoint-000004.npz")
    for weight in result.model.weights:
        np.testing.assert_array_equal(weight, arrays[f"model/{weight.path}"])
    assert describe_weights(result) == (
        "The exported weights are those of evaluation 4, selected by the best mark on held-out "
        "data. Ignored, because the checkpoint is corrupted or deleted: evaluation 3."
    )


def test_the_report_names_the_evaluations_of_a_mean_with_a_corrupted_one(new_model, data, tmp_path):
    training = dataclasses.replace(TRAINING, epochs=3, score_pairs=1, average=3)
    fit(new_model(), data, training, tmp_path, scores_of([1.0, 2.0, 3.0]))
    folder = tmp_path / "checkpoints"
    saved = [arrays_in(folder / f"checkpoint-{number:06}.npz") for number in (1, 3)]
    (folder / "checkpoint-000002.npz").write_bytes(b"corrupted")
    result = fit(new_model(), data, training, tmp_path, scores_of([]))
    for weight in result.model.weights:
        expected = np.mean([arrays[f"model/{weight.path}"] for arrays in saved], axis=0)
        np.testing.assert_allclose(weight, expected, rtol=1e-6, atol=1e-6)
    assert describe_weights(result) == (
        "The exported weights are the mean of those of evaluations 1 and 3, selected by the best "
        "mark on held-out data. Ignored, because the checkpoint is corrupted or deleted: "
        "evaluation 2."
    )


def test_nothing_is_finished_if_all_checkpoints_are_corrupted(new_model, data, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "checkpoint-000001.npz").write_bytes(b"corrupted")
    training = dataclasses.replace(TRAINING, finish=True)
    with pytest.raises(ValueError, match="`finish` must find an intact checkpoint"):
        fit(new_model(), data, training, tmp_path)


def test_a_run_resumes_only_with_its_own_tokenizer(new_model, data, tmp_path):
    training = dataclasses.replace(TRAINING, epochs=1)
    fit(new_model(), data, training, tmp_path)
    content = data.tokenizer.model_bytes
    assert (tmp_path / "tokenizer.model").read_bytes() == content
    (tmp_path / "tokenizer.model").write_bytes(content[:-1])
    with pytest.raises(ValueError, match="must be the tokenizer that this run learns"):
        fit(new_model(), data, training, tmp_path)


def test_weights_of_the_same_path_are_refused(tmp_path):
    """Their order would decide which is which, and another order would swap them silently."""

    class Twins(keras.Model):
        def __init__(self):
            super().__init__()
            self.twins = [keras.layers.Dense(2, name="same") for _ in range(2)]
            for layer in self.twins:
                layer.build((None, 2))

    with pytest.raises(ValueError, match=r"Received: .* path same/kernel, same/bias\. Give each"):
        Checkpoints(tmp_path, Twins())


def test_a_history_survives_a_checkpoint(tmp_path):
    history = History("chrF", "max", [{"loss": 2.0}], first_loss=7.5)
    restored = History("chrF", "max")
    restored.load_state(json.loads(json.dumps(history.state())))
    assert restored == history
