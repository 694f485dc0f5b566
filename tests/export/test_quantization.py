"""Quantized weights: how they are stored, how much they lose, and what is refused."""

import dataclasses
import warnings

import keras
import numpy as np
import pytest

from random_models import float32_file, random_ids
from seq2lite import export, zoo
from seq2lite.export import tflite
from seq2lite.export.quantization.calibration import Calibration
from seq2lite.export.quantization.mixed import log_probabilities
from seq2lite.export.quantization.modes import quantize
from seq2lite.export.quantization.rounding import round_calibrated, round_to_nearest
from seq2lite.export.quantization.second_moments import second_moments
from seq2lite.export.quantization.weights import GRIDS, read_weight, store_weights, weights_of
from seq2lite.export.runtime.engine import FileEngine
from seq2lite.export.runtime.interpreter import ModelFile, open_interpreter
from seq2lite.export.tflite_file import flatbuffer, versions
from seq2lite.export.tflite_file.flatbuffer import schema
from structures import QUANTIZABLE


@pytest.fixture(params=QUANTIZABLE, scope="module")
def converted(request, exported):
    """A model, its float32 file's bytes, and a calibration."""
    model, content = exported(request.param).model, exported(request.param).content
    source = random_ids(np.random.default_rng(1), [9, 7, 7, 5, 4, 2], vocabulary_size=200)
    found = exported(request.param).greedy_search(source, 12)
    lengths = (source != model.pad_id).sum(axis=1)
    calibration = Calibration.of(source, lengths, *map(np.array, found), model.start_id)
    return model, content, calibration


TRANSFORMER = pytest.mark.parametrize(
    "converted", ["transformer", pytest.param("rnn", marks=pytest.mark.long)], indirect=True
)


def formats(content, kind):
    return {weight.buffer: kind for weight in weights_of(flatbuffer.read(content))}


def stored(content, name):
    """A tensor's integers and scales, read by themselves from the file's tables."""
    model = flatbuffer.read(content)
    graph, tensor = next(
        (g, t) for g in model.subgraphs for t in g.tensors if t.name.decode() == name
    )
    data = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.int8)
    rows, inputs = tensor.shape
    if tensor.type == schema.TensorType.INT4:
        data = np.stack([(data << 4) >> 4, data >> 4], axis=1).ravel()[: rows * inputs]
    details = tensor.quantization.details
    if details is None:
        return data.reshape(rows, inputs), tensor.quantization.scale.reshape(-1, 1)
    scales = model.buffers[graph.tensors[details.scales].buffer].data
    scales = np.frombuffer(bytes(scales), np.float16).reshape(rows, -1).astype(np.float32)
    return data.reshape(rows, inputs), np.repeat(scales, details.blockSize, axis=1)


def products(model, signature):
    """The weight and the bias of each product of a signature."""
    graph = model.subgraphs[flatbuffer.graph_of(model, signature)]
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        if code == schema.BuiltinOperator.FULLY_CONNECTED and operator.inputs[2] >= 0:
            tensors = [graph.tensors[i] for i in operator.inputs[1:3]]
            yield [
                np.frombuffer(bytes(model.buffers[t.buffer].data), np.float32).reshape(t.shape)
                for t in tensors
            ]


def test_all_large_matrices_of_a_model_are_weights(converted):
    model, content, _ = converted
    sizes = sorted(weight.size for weight in weights_of(flatbuffer.read(content)))
    matrices = [int(np.prod(v.shape)) for v in model.variables if len(v.shape) == 2]
    assert sizes == sorted(size for size in matrices if size >= 1024)


@pytest.mark.parametrize(("kind", "bits"), [("int8", 8), ("int8_tensor", 8), ("int4", 4)])
def test_each_weight_is_stored_to_the_nearest_of_its_grid(converted, kind, bits):
    _, content, _ = converted
    new = store_weights(content, formats(content, kind))
    model = flatbuffer.read(content)
    for weight in weights_of(model):
        integers, scales = stored(new, weight.name)
        assert np.abs(integers).max() >= 2 ** (bits - 1) - 1
        error = np.abs(integers * scales - read_weight(model, weight))
        # Half a step; at the clipped end of 4 bits' stored scale, a little more.
        assert (error <= 0.56 * scales).all()


@pytest.mark.parametrize(
    ("kind", "most"), [("float16", 1e-5), ("int8", 0.05), ("int8_tensor", 0.05), ("int4", 0.05)]
)
def test_a_file_computes_with_its_stored_weights(converted, kind, most):
    """As a float32 file of the same values, except for the rounding of activations to 8 bits."""
    _, content, calibration = converted
    new = store_weights(content, formats(content, kind))
    model = flatbuffer.read(content)
    for weight in weights_of(model):
        if kind == "float16":
            values = read_weight(model, weight).astype(np.float16).astype(np.float32)
        else:
            integers, scales = stored(new, weight.name)
            values = (integers * scales).astype(np.float32)
        model.buffers[weight.buffer].data = values.view(np.uint8).ravel()
    expected = log_probabilities(flatbuffer.write(model), calibration)
    error = np.abs(log_probabilities(new, calibration) - expected).max()
    assert error < most * np.abs(expected).max()
    assert len(new) < len(content)
    # The loop in it runs them too.
    tokens, lengths = FileEngine(ModelFile(new)).greedy(calibration.source, 6)
    assert tokens.shape == (len(calibration.source), max(1, lengths.max()))


def test_second_moments_are_those_of_the_activations(converted):
    """The moments of the output projection, computed from the logits of Keras."""
    model, content, calibration = converted
    calibration = dataclasses.replace(  # The targets end at different steps.
        calibration, target_lengths=np.minimum(calibration.target_lengths, [13, 2, 9, 5, 1, 7])
    )
    moments = second_moments(content, calibration)
    weights = weights_of(flatbuffer.read(content))
    # A loop's recurrent products too.
    assert moments.keys() == {w.buffer for w in weights if w.is_product}
    (output,) = (w for w in weights if w.is_product and w.shape[0] == model.vocabulary_size)
    table = read_weight(flatbuffer.read(content), output).astype(np.float64)
    bias = next(  # which has taken in what the normalization before it adds
        tensors[1]
        for tensors in products(flatbuffer.read(content), "decode_step")
        if tensors[0].shape == table.shape
    )
    logits = model({"source": calibration.source, "target": calibration.teacher}).numpy()
    is_token = np.arange(logits.shape[1]) < calibration.target_lengths[:, None]
    logits = logits[is_token] - bias
    x = np.linalg.lstsq(table, logits.T, rcond=None)[0]
    np.testing.assert_allclose(moments[output.buffer], x @ x.T / x.shape[1], atol=1e-3)


def test_second_moments_do_not_depend_on_padding(converted):
    """Those of an encoder's first product, of two sources at once and of each alone."""
    _, content, calibration = converted
    model = flatbuffer.read(content)
    graph = model.subgraphs[flatbuffer.graph_of(model, "encode")]
    names = (flatbuffer.op_name(model, operator) for operator in graph.operators)
    first = graph.operators[list(names).index("FULLY_CONNECTED")]
    buffer = graph.tensors[first.inputs[1]].buffer

    def total(*rows):
        arrays = [getattr(calibration, field.name) for field in dataclasses.fields(calibration)]
        part = Calibration(*(array[list(rows)] for array in arrays))
        return part.lengths.sum() * second_moments(content, part)[buffer]

    longest, shortest = calibration.lengths.argmax(), calibration.lengths.argmin()
    together = total(longest, shortest)
    np.testing.assert_allclose(together, total(longest) + total(shortest), rtol=1e-4, atol=1e-4)


def test_calibrated_rounding_keeps_products_closer():
    """GPTQ against the nearest, on activations that depend on each other."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 8)) @ rng.normal(size=(8, 64)) + 0.1 * rng.normal(size=(500, 64))
    values = rng.normal(size=(20, 64)).astype(np.float32)
    grid = GRIDS["int4"]

    def error(integers, scales):
        rounded = integers * np.repeat(scales, grid.block, axis=1)
        return float(((x @ (rounded - values).T) ** 2).mean())

    nearest = error(*round_to_nearest(values, grid))
    calibrated = error(*round_calibrated(values, grid, x.T @ x / len(x)))
    assert calibrated < 0.5 * nearest


@TRANSFORMER
def test_a_mixture_keeps_to_its_allowance_and_uses_it(converted):
    _, content, calibration = converted
    expected = log_probabilities(content, calibration)
    sizes = []
    lost = {}
    for kind in ("int8", "int4"):
        file, _ = quantize(content, kind, calibration)
        found = log_probabilities(file, calibration)
        lost[kind] = (np.exp(expected) * (expected - found)).sum(axis=-1).mean()
        sizes.append(len(file))
    allowed = (lost["int8"] + lost["int4"]) / 3
    file, chosen = quantize(content, "mixed", calibration, max_divergence=allowed)
    found = log_probabilities(file, calibration)
    assert (np.exp(expected) * (expected - found)).sum(axis=-1).mean() <= allowed * 1.001
    assert set(chosen.values()) == {"int4", "int8"}
    assert sizes[1] < len(file) < sizes[0]
    with pytest.raises(export.ConversionError, match="`max_divergence` must be at least"):
        quantize(content, "mixed", calibration, max_divergence=1e-12)


def test_a_weight_that_has_no_float16_is_named(converted):
    _, content, _ = converted
    model = flatbuffer.read(content)
    weight = weights_of(model)[0]
    values = read_weight(model, weight).copy()
    values[3, 5] = 1e5
    model.buffers[weight.buffer].data = values.view(np.uint8).ravel()
    with pytest.raises(ValueError, match=r"finite in float16, at most 6.55e\+04. Received: 100000"):
        store_weights(flatbuffer.write(model), formats(content, "float16"))


@TRANSFORMER
def test_an_old_runtime_gets_ops_that_it_has(converted):
    """One scale per weight, and the version of the ops that read it."""
    _, content, _ = converted
    for runtime in ("2.9", "2.17", "2.18"):
        assert not versions.ops_beyond(quantize(content, "int8", min_runtime=runtime)[0], runtime)
    new, _ = quantize(content, "int8", min_runtime="2.9")
    op_versions = {
        name: max(c.version for c in flatbuffer.read(new).operatorCodes if c.builtinCode == code)
        for name, code in vars(schema.BuiltinOperator).items()
        if name in ("FULLY_CONNECTED", "EMBEDDING_LOOKUP")
    }
    assert op_versions == {"FULLY_CONNECTED": 9, "EMBEDDING_LOOKUP": 3}
    for weight in weights_of(flatbuffer.read(content)):
        assert stored(new, weight.name)[1].shape == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"quantization": "int2"},
            r"`quantization` must be one of .* Received: quantization='int2'",
        ),
        (
            {"quantization": "int4"},
            r"`calibration` must be an integer array .* Received: calibration=None",
        ),
        (
            {"quantization": "int4", "calibration": [[5, 3], [5]]},
            "`calibration` must be an integer array",
        ),
        ({"quantization": "int4", "calibration": [[5000, 3]]}, r"of padded ids in \[0, 1000\)"),
        ({"quantization": "int4", "calibration": np.ones((0, 4), int)}, "`calibration` must be"),
        ({"quantization": "int4", "calibration": np.zeros((2, 3), int)}, "without an empty source"),
        ({"quantization": "mixed", "max_divergence": 0}, "`max_divergence` must be a positive"),
        ({"quantization": "int4", "min_runtime": "2.9"}, r"`min_runtime` must be .* or later"),
        ({"min_runtime": "2.1"}, r"`min_runtime` must be 2.9 or later .* Received: '2.1'"),
        ({"min_runtime": 2.9}, r"`min_runtime` must be a str such as '2.9'\. Received: 2.9"),
    ],
)
def test_a_wrong_argument_is_named_before_work_begins(arguments, message, tmp_path, tiny_model):
    with pytest.raises(ValueError, match=message):
        export.to_tflite(tiny_model, tmp_path / "new" / "model.tflite", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_folder_for_another(tmp_path, tiny_model):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="`path` must be in a folder"):
        export.to_tflite(tiny_model, tmp_path / "thesis.txt" / "model.tflite")


@pytest.mark.parametrize(
    ("quantization", "value", "message"),
    [("float16", 1e5, r"finite in float16, at most 6.55e\+04"), ("int8", np.nan, "finite in int8")],
)
def test_a_weight_that_is_not_finite_is_named_before_work_begins(
    quantization, value, message, tmp_path
):
    model = QUANTIZABLE["rnn"]()
    model.output_projection.bias.assign(np.full(201, value))
    with pytest.raises(ValueError, match=f"{message}.* in output/bias"):
        export.to_tflite(model, tmp_path / "model.tflite", quantization)


class Gathering(zoo.Seq2Seq):
    """A model that looks up its table in a way that no 8-bit op supports."""

    def __init__(self):
        super().__init__(vocabulary_size=200, pad_id=0, start_id=2, end_id=3)
        self.table = self.add_weight(name="my_table", shape=(200, 16))

    def encode(self, source):
        return {"mean": keras.ops.mean(keras.ops.take(self.table, source, axis=0), axis=1)}

    def step(self, token, state):
        summed = keras.ops.take(self.table, token, axis=0) + state["mean"]
        return keras.ops.matmul(summed, keras.ops.transpose(self.table)), state


def test_a_matrix_that_stays_in_float32_is_named(tmp_path, monkeypatch):
    content = float32_file(Gathering(), tmp_path)
    kept = r"zoo.TokenEmbedding.* Kept in float32: .* \(200, 16\)"
    with pytest.warns(UserWarning, match=kept) as caught:
        quantize(content, "int8")
    monkeypatch.setattr(tflite, "Signatures", lambda *_, **__: None)
    monkeypatch.setattr(tflite, "convert_signatures", lambda *_: content)
    with pytest.warns(UserWarning, match=kept) as caught_in_export:
        export.to_tflite(Gathering(), tmp_path / "model.tflite")
    # The warning names the line of the caller, whatever the function.
    assert {each.filename for each in [*caught, *caught_in_export]} == {__file__}


@pytest.mark.long
def test_a_very_small_table_stays_float32_without_a_warning(tmp_path):
    model = zoo.transformer(
        vocabulary_size=5000, num_layers=1, model_dim=64, num_heads=4, feed_forward_dim=64,
        positions="relative",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        _, formats = quantize(float32_file(model, tmp_path), "int8")
    assert set(formats.values()) >= {"int8"}


@pytest.mark.long
@pytest.mark.parametrize("quantization", ["float16", "mixed"])
def test_to_tflite_writes_the_requested_mode(quantization, tiny_model, tmp_path):
    source = random_ids(np.random.default_rng(1), [7, 5, 3], vocabulary_size=1000)
    path = tmp_path / "model.tflite"
    export.to_tflite(
        tiny_model, path, quantization=quantization, calibration=source, max_divergence=1.0
    )
    open_interpreter(path.read_bytes(), 1, "model.tflite")
    assert path.stat().st_size < 2.2 * tiny_model.count_params() + 100_000
