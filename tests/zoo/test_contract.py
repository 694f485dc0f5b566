"""Properties that every model must have, whatever its family.

They are tested with MIXED and the toy family: few models that hold most pairs of options. `long` tests
try two of them with all models.
"""

import itertools
from functools import cached_property

import keras
import numpy as np
import pytest
import tensorflow as tf

from random_models import (
    CASES,
    FEW_CASES,
    MIXED,
    VOCABULARY,
    mostly_long,
    random_ids,
    randomize,
    small_model,
)
from seq2lite import zoo
from seq2lite.zoo.checks import require
from seq2lite.zoo.layers.softmax import MASK_BIAS
from toy_family import ToyFamily

LENGTHS = [7, 4, 1]


def toy_model():
    return randomize(ToyFamily(vocabulary_size=VOCABULARY, pad_id=0, start_id=2, end_id=3), scale=2)


class Case:
    """A model, inputs, and its answers, each computed once."""

    def __init__(self, name):
        self.model = toy_model() if name == "toy" else small_model(name)
        rng = np.random.default_rng(1)
        self.source = random_ids(rng, LENGTHS)
        if name == "toy":
            features = rng.normal(size=(*self.source.shape, 5)).astype("float32")
            self.source = np.where(self.source[:, :, None] == 0, 0, features)
        self.target = random_ids(rng, [6, 6, 6])
        self.target[:, 0] = self.model.start_id
        self.target[2, 3] = self.model.pad_id  # an untrained model may generate it
        self.inputs = {"source": self.source, "target": self.target}

    @cached_property
    def logits(self):
        return np.array(self.model(self.inputs))

    @cached_property
    def stepwise(self):
        return stepwise(self.model, **self.inputs)


def stepwise(model, source, target):
    state = model.encode(source)
    logits = []
    for token in target.T:
        step, state = model.decode_step(token, state)
        logits.append(keras.ops.convert_to_numpy(step))
    return np.stack(logits, axis=1)


def padded(x):
    """With three columns of padding more."""
    return np.pad(x, [(0, 0), (0, 3), (0, 0)][: x.ndim])


# Each kind of decoder, position and attention, for the properties that few options can break.
SHORT = (
    "mixed-transformer-2",
    "mixed-transformer-3",
    "mixed-transformer-4",
    "mixed-rnn-1",
    "mixed-rnn-2",
    "mixed-rnn-3",
    "mixed-rnn-4",
    "toy",
)


@pytest.fixture(params=mostly_long([*MIXED, "toy"], SHORT), scope="module")
def case(request):
    return Case(request.param)


ALL_MODELS = pytest.mark.parametrize(
    "case", mostly_long([*MIXED, "toy", *CASES], short=[*MIXED, "toy"]), indirect=True
)


@ALL_MODELS
def test_stepwise_equals_teacher_forcing(case):
    assert np.abs(case.logits).max() > 0.5  # large enough for 1e-5 to mean something
    np.testing.assert_allclose(case.stepwise, case.logits, atol=1e-5)


@ALL_MODELS
def test_padding_changes_nothing(case):
    """More padding, in source and target, and company in the batch."""
    model, source, target = case.model, case.source, case.target
    wider = np.array(model({"source": padded(source), "target": padded(target)}))
    np.testing.assert_allclose(wider[:, :6], case.logits, atol=1e-5)
    np.testing.assert_allclose(stepwise(model, padded(source), target), case.logits, atol=1e-5)
    alone = np.array(model({"source": source[1:2, :4], "target": target[1:2]}))
    np.testing.assert_allclose(alone, case.logits[1:2], atol=1e-5)


def test_later_targets_change_no_earlier_logits(case):
    changed = case.target.copy()
    changed[:, 4] = (changed[:, 4] + 1) % VOCABULARY
    after = np.array(case.model({**case.inputs, "target": changed}))
    np.testing.assert_allclose(after[:, :4], case.logits[:, :4], atol=1e-6)
    assert np.abs(after[:, 4:] - case.logits[:, 4:]).max() > 1e-3


def test_every_source_token_counts(case):
    """Seven rows of one batch, each with another token changed; an eighth with none."""
    source = np.repeat(case.source[:1], 8, axis=0)
    for place in range(7):
        token = source[place, place]
        source[place, place] = 4 + (token - 3) % (VOCABULARY - 4) if token.ndim == 0 else token + 1
    target = np.repeat(case.target[:1], 8, axis=0)
    change = np.abs(np.array(case.model({"source": source, "target": target})) - case.logits[0])
    assert change[:7].max(axis=(1, 2)).min() > 1e-5
    assert change[7].max() < 1e-6


def test_nan_at_padding_reaches_nothing(case):
    """In the padding's row of the tables: only its own logit may read it."""
    model = case.model
    names = "source_embedding", "target_embedding", "table"
    tables = {id(t): t for t in (getattr(model, name, None) for name in names) if t}.values()
    kept = [table.embeddings.numpy() for table in tables]
    for table, values in zip(tables, kept, strict=True):
        table.embeddings.assign(np.where(np.arange(len(values))[:, None] == 0, np.nan, values))
    try:
        inputs = {"source": padded(case.source), "target": padded(case.target)}
        logits = np.array(model(inputs))[:, :6, 1:]
        steps = stepwise(model, inputs["source"], case.target)[:, :, 1:]
    finally:
        for table, values in zip(tables, kept, strict=True):
            table.embeddings.assign(values)
    np.testing.assert_allclose(logits, case.logits[:, :, 1:], atol=1e-5)
    np.testing.assert_allclose(steps, case.logits[:, :, 1:], atol=1e-5)


def test_attention_is_a_distribution_over_tokens_the_same_at_once_and_stepwise(case):
    model = case.model
    if not model.has_attention:
        for call in (model, lambda _, **kind: model.step(np.array([5]), {}, **kind)):
            with pytest.raises(
                ValueError,
                match=r"`return_attention` must be False for .*, a model without attention",
            ):
                call(case.inputs, return_attention=True)
        return
    logits, weights = (np.array(x) for x in model(case.inputs, return_attention=True))
    np.testing.assert_array_equal(logits, case.logits)
    assert weights.shape == (3, 6, 7)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    is_padding = ~np.array(model.source_mask(case.source))
    assert not weights[is_padding[:, None].repeat(6, 1)].any()
    assert np.ptp(weights[0], axis=0).max() > 1e-3  # it moves
    state = model.grow(model.encode(case.source), 8)
    for t, token in enumerate(case.target.T):
        _, state, step = model.step(token, state, return_attention=True)
        np.testing.assert_allclose(step, weights[:, t], atol=1e-5)


def test_the_state_is_flat_named_and_batch_first(case):
    state = case.model.encode(case.source)
    _, after = case.model.decode_step(case.target[:, 0], state)
    assert list(after) == list(state)
    assert {tensor.shape[0] for tensor in state.values()} == {3}


def test_shared_state_does_not_depend_on_the_tokens(case):
    """And a step returns the source's as the same tensors: beam search moves all that is not shared."""
    model = case.model
    first = state = model.encode(case.source)
    other = dict(state)
    for t in range(2):
        _, state = model.step(case.target[:, t], model.grow(state, 1))
        _, other = model.step(case.target[::-1, t] * 0 + 9 + t, model.grow(other, 1))
    for name, value in state.items():
        if name in model.shared_state:
            np.testing.assert_array_equal(value, other[name])
        else:
            assert np.abs(np.array(value) - np.array(other[name])).max() > 0, name
        if 7 in value.shape:  # the source's length
            assert value is first[name] and name in model.shared_state, name


def test_a_saved_model_comes_back_the_same(case, tmp_path):
    case.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == case.model.get_config()
    np.testing.assert_array_equal(np.array(loaded(case.inputs)), case.logits)
    np.testing.assert_array_equal(stepwise(loaded, case.source, case.target), case.stepwise)


def test_every_weight_has_a_gradient(case):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(case.model(case.inputs)))
    variables = [variable.value for variable in case.model.trainable_variables]
    for variable, gradient in zip(
        case.model.trainable_variables, tape.gradient(loss, variables), strict=True
    ):
        assert gradient is not None, variable.path
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.path


def test_dropout_acts_in_training_only(case):
    np.testing.assert_array_equal(np.array(case.model(case.inputs)), case.logits)
    trained = np.array(case.model(case.inputs, training=True))
    assert np.abs(trained - case.logits).max() > 1e-3


@pytest.fixture
def inputs():
    rng = np.random.default_rng(1)
    source, target = random_ids(rng, LENGTHS), random_ids(rng, [6, 6, 6])
    target[:, 0] = 2
    return {"source": source, "target": target}


POLICIES = ("mixed_float16", "mixed_bfloat16")


# Both kinds of models with both policies; `long` tests try all pairs.
@pytest.mark.parametrize(
    ("case", "policy"),
    mostly_long(
        list(itertools.product(FEW_CASES, POLICIES)),
        short=[
            ("transformer-rotary-rms-swiglu-grouped", "mixed_float16"),
            ("transformer-relative-ssru-post-norm", "mixed_bfloat16"),
            ("gru-cho", "mixed_float16"),
            ("lstm-luong", "mixed_bfloat16"),
        ],
    ),
)
def test_mixed_precision_computes_the_same_to_its_precision(case, policy, inputs):
    """As near as a model whose weights are moved by a rounding of theirs, times six."""
    model = small_model(case)
    exact = np.array(model(inputs))
    rounding = {"mixed_float16": 2.0**-11, "mixed_bfloat16": 2.0**-8}[policy]
    rng = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(variable.numpy() * (1 + rounding * rng.uniform(-1, 1, variable.shape)))
    tolerance = 6 * np.abs(np.array(model(inputs)) - exact).max()
    keras.config.set_dtype_policy(policy)
    try:
        model = small_model(case)
        logits = model(inputs)
        step = stepwise(model, **inputs).astype("float32")
    finally:
        keras.config.set_dtype_policy("float32")
    assert logits.dtype == policy.removeprefix("mixed_")
    logits = np.array(tf.cast(logits, tf.float32))
    assert 0 < np.abs(logits - exact).max() < tolerance < np.abs(exact).max()
    np.testing.assert_allclose(step, exact, atol=tolerance)


@pytest.mark.parametrize(
    ("case", "policy"),
    mostly_long(
        list(itertools.product(["transformer-ssru", "gru-bahdanau"], POLICIES)),
        short=[("transformer-ssru", "mixed_float16"), ("gru-bahdanau", "mixed_bfloat16")],
    ),
)
def test_mixed_precision_learns(case, policy, inputs):
    keras.config.set_dtype_policy(policy)
    try:
        model = small_model(case, num_layers=1)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        # Eagerly: most of the time would go into tracing.
        model.compile(keras.optimizers.Adam(0.01), loss, run_eagerly=True)
        answers = np.roll(inputs["target"], -1, axis=1)
        losses = [model.train_on_batch(inputs, answers) for _ in range(8)]
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.variables[0].dtype == "float32"
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("start_id", [0, 3])  # the padding's and the end's
@pytest.mark.parametrize(
    "case",
    mostly_long(["transformer", "gru-bahdanau", "lstm-luong"], ["transformer", "lstm-luong"]),
)
def test_targets_may_start_with_the_padding_or_the_end(case, start_id, inputs):
    model = small_model(case, start_id=start_id)
    inputs["target"][:, 0] = start_id
    logits = np.array(model(inputs))
    np.testing.assert_allclose(stepwise(model, **inputs), logits, atol=1e-5)
    wider = {name: np.pad(ids, ((0, 0), (0, 3))) for name, ids in inputs.items()}
    np.testing.assert_allclose(np.array(model(wider))[:, :6], logits, atol=1e-5)
    # Its embedding is read: no other logit than the start's own reads that row otherwise.
    table = model.target_embedding.embeddings
    is_start = np.arange(table.shape[0])[:, None] == start_id
    table.assign(np.where(is_start, -table, table))
    change = np.delete(np.array(model(inputs)) - logits, start_id, axis=-1)
    assert np.abs(change[:, 0]).max(axis=-1).min() > 1e-3


@pytest.mark.parametrize("start_id", [0, 3])
def test_searches_end_where_targets_start_with_the_padding_or_the_end(start_id):
    model = small_model("gru-None-bi", start_id=start_id)
    source = random_ids(np.random.default_rng(2), [5, 3])
    tokens, lengths = zoo.greedy_search(model, source, 9)
    beams, beam_lengths, _ = zoo.beam_search(model, source, 9, num_beams=1)
    np.testing.assert_array_equal(beams[:, 0], tokens)
    np.testing.assert_array_equal(beam_lengths[:, 0], lengths)
    ended = np.pad(np.array(tokens), ((0, 0), (0, 1)))
    for row, length in zip(ended, lengths, strict=True):
        row[length] = model.end_id if length < 9 else 0
    total, _ = zoo.score(model, source, ended)
    assert np.all(np.array(total) < 0) and lengths.numpy().max() > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dtype": "float32"}, "`features` must be a positive int with dtype='float32'"),
        ({"dtype": "float32", "features": 0}, "`features` must be a positive int"),
        ({"dtype": "int32", "features": 2}, "`features` must be None with dtype='int32'"),
        ({"dtype": "int64"}, "`dtype` must be one of"),
        ({"dtype": "int32", "padding": None}, "`padding` must be a number"),
    ],
)
def test_a_contradictory_source_spec_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        zoo.SourceSpec(**{"padding": 0, **wrong})


@pytest.mark.parametrize(
    "value", [zoo.SourceSpec("int32", 0), keras.KerasTensor((2, None)), tf.TensorSpec(None)]
)
def test_an_error_shows_values_of_any_shape(value):
    with pytest.raises(ValueError, match=r"`x` must be a number\. Received: x( of shape|=)"):
        require(False, "a number", x=value)


def test_the_mask_of_features_is_false_where_all_of_them_are_padding():
    class Features(zoo.Seq2Seq):
        @property
        def source_spec(self):
            return zoo.SourceSpec("float32", padding=0.0, features=2)

    model = Features(vocabulary_size=9, pad_id=0, start_id=2, end_id=3)
    source = np.array([[[1.0, 0.0], [0.0, -1.0], [0.0, 0.0]]], "float32")
    assert model.source_spec.shape(1, 3) == source.shape
    np.testing.assert_array_equal(model.source_mask(source), [[True, True, False]])
    np.testing.assert_array_equal(model.padding_bias(source), [[0, 0, MASK_BIAS]])
