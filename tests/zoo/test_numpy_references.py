"""Whole models against NumPy in float64, written from the papers: one sentence and token at a time.

Where a builder's docstring says other than its paper, a comment says so.
"""

import math
from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from random_models import RNNS, TRANSFORMERS, VOCABULARY, random_ids, randomize, small_model
from seq2lite import zoo
from seq2lite.zoo.shapes import built
from seq2lite.zoo.transformer.layers import FeedForward
from seq2lite.zoo.transformer.positions import RelativeBias, rotate, rotation, sinusoidal_encoding
from seq2lite.zoo.transformer.ssru import SSRU


def assert_equal(actual, expected, tolerance=5e-6):
    """To some forty roundings of float32, of values as large as the largest."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def assert_model_equals(model, reference):
    """`reference`: the ids of a source and of a target to logits, and weights or None."""
    rng = np.random.default_rng(1)
    source = random_ids(rng, [7, 4, 1], model.source_vocabulary_size)
    target = random_ids(rng, [4, 6, 2], model.vocabulary_size)
    inputs = {"source": source, "target": target}
    logits, weights = np.array(model(inputs)), None
    if model.has_attention:
        weights = np.array(model(inputs, return_attention=True)[1])
    for i in range(len(source)):
        ids, given = source[i][source[i] != 0], target[i][target[i] != 0]
        expected, expected_weights = reference(model, ids, given)
        assert_equal(logits[i, : len(given)], expected)
        assert (weights is None) == (expected_weights is None)
        if weights is not None:
            assert_equal(weights[i, : len(given), : len(ids)], expected_weights)
            assert not weights[i, :, len(ids) :].any()


def rnn(case, **options):
    """The case of `random_models`, with other options."""
    sizes = {"num_layers": 2, "embedding_dim": 12, "hidden_dim": 16}
    model = zoo.rnn_seq2seq(vocabulary_size=VOCABULARY, **{**sizes, **RNNS[case], **options})
    return randomize(model, scale=2)


def exact(weight):
    return keras.ops.convert_to_numpy(weight).astype(np.float64)


def linear(dense):
    """W x + b as a function, without the activation."""
    kernel, bias = exact(dense.kernel), 0 if dense.bias is None else exact(dense.bias)
    return lambda x: x @ kernel + bias


def output(model):
    layer = model.output_projection
    table = exact(layer.tied_to.embeddings if layer.table is None else layer.table)
    bias = exact(layer.bias)
    return lambda x: table @ x + bias


def embedded(model, embedding, ids):
    rows = exact(embedding.embeddings)[ids]
    return list(rows * rows.shape[1] ** 0.5 if model.scale_embeddings else rows)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


# Recurrent cells: a step takes x and the state, a tuple of which the first comes out.


def lstm(recurrence):
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    cell = recurrence.layer.cell
    w_i, w_f, w_c, w_o = np.split(exact(cell.kernel), 4, axis=1)
    u_i, u_f, u_c, u_o = np.split(exact(cell.recurrent_kernel), 4, axis=1)
    b_i, b_f, b_c, b_o = np.split(exact(cell.bias), 4)

    def step(x, state):
        h, c = state
        i = sigmoid(x @ w_i + h @ u_i + b_i)
        f = sigmoid(x @ w_f + h @ u_f + b_f)
        o = sigmoid(x @ w_o + h @ u_o + b_o)
        c = f * c + i * np.tanh(x @ w_c + h @ u_c + b_c)
        return o * np.tanh(c), c

    return step


def gru(recurrence):
    """Cho et al. 2014, equations 5 to 8, with the biases that they omit."""
    cell = recurrence.layer.cell
    w_z, w_r, w = np.split(exact(cell.kernel), 3, axis=1)
    u_z, u_r, u = np.split(exact(cell.recurrent_kernel), 3, axis=1)
    b_z, b_r, b = np.split(exact(cell.bias), 3)

    def step(x, state):
        (h,) = state
        r = sigmoid(x @ w_r + h @ u_r + b_r)  # (5)
        z = sigmoid(x @ w_z + h @ u_z + b_z)  # (6)
        candidate = np.tanh(x @ w + (r * h) @ u + b)  # (8)
        return (z * h + (1 - z) * candidate,)  # (7)

    return step


def read(step, xs, state):
    """The outputs, and the last state."""
    outputs = []
    for x in xs:
        state = step(x, state)
        outputs.append(state[0])
    return outputs, state


def read_both_ways(steps, xs, zeros):
    """The outputs of each place, joined, and the last state of each direction."""
    forward, forward_state = read(steps[0], xs, zeros)
    backward, backward_state = read(steps[1], xs[::-1], zeros)
    joined = [np.concatenate(pair) for pair in zip(forward, backward[::-1], strict=True)]
    return joined, (forward_state, backward_state)


# Scores of a query q and an encoder output m.


def additive(attention):
    """Bahdanau et al. 2015, appendix A.1.2: v tanh(W q + U m), with a bias."""
    w, u = linear(attention.query_map), linear(attention.key_map)
    v = exact(attention.score_vector)
    return lambda q, m: v @ np.tanh(w(q) + u(m))


def luong_score(attention):
    """Luong et al. 2015, equation 8."""
    if attention.score == "dot":
        return lambda q, m: q @ m
    if attention.score == "general":
        w = exact(attention.key_map.kernel).T
        return lambda q, m: q @ w @ m
    # W [q; m], with a bias
    w = np.concatenate([exact(attention.query_map.kernel), exact(attention.key_map.kernel)])
    bias, v = exact(attention.key_map.bias), exact(attention.score_vector)
    return lambda q, m: v @ np.tanh(np.concatenate([q, m]) @ w + bias)


def attend(score, q, memory):
    """The context and the weights: Bahdanau et al. 2015, equations 5 and 6."""
    weights = softmax(np.array([score(q, m) for m in memory]))
    return weights @ np.array(memory), weights


def maxout(model):
    """Bahdanau et al. 2015, appendix A.2.2: the greater of pairs of U s + C c + V E y."""
    read_out = linear(model.read_out_map)

    def of(s, c, y):
        t = read_out(np.concatenate([s, c, y]))
        return np.array([max(t[2 * i], t[2 * i + 1]) for i in range(len(t) // 2)])

    return of


# The papers' models.


def sutskever_2014(model, source, target):
    """Section 3.3: "c, b, a" is read in place of "a, b, c"; the end stays the end."""
    xs = embedded(model, model.source_embedding, [*source[:-1][::-1], source[-1]])
    ys = embedded(model, model.target_embedding, target)
    for (encoder,), decoder in zip(model.encoder, model.decoder, strict=True):
        xs, state = read(lstm(encoder), xs, (np.zeros(encoder.units),) * 2)
        ys, _ = read(lstm(decoder), ys, state)
    return [output(model)(y) for y in ys], None


def cho_2014(model, source, target):
    """Appendix A.1, but that c is h_N, not tanh(V h_N), and that the decoder's reset gate acts on
    its state alone, as the encoder's does.
    """
    ((encoder,),), (decoder,) = model.encoder, model.decoder
    xs = embedded(model, model.source_embedding, source)
    _, (c,) = read(gru(encoder), xs, (np.zeros(encoder.units),))
    ((bridge,),) = model.bridge_maps
    h = np.tanh(linear(bridge)(c))
    step, read_out, logits = gru(decoder), maxout(model), []
    for y in embedded(model, model.target_embedding, target):
        (h,) = step(np.concatenate([y, c]), (h,))
        logits.append(output(model)(read_out(h, c, y)))
    return logits, None


def bahdanau_2015(model, source, target):
    """Appendix A.1 and A.2, but that the read-out has s_i, as in equation 4."""
    (encoders,), (decoder,) = model.encoder, model.decoder
    xs = embedded(model, model.source_embedding, source)
    zeros = (np.zeros(encoders[0].units),)
    memory, (_, (backward,)) = read_both_ways([gru(e) for e in encoders], xs, zeros)
    ((bridge,),) = model.bridge_maps
    s = np.tanh(linear(bridge)(backward))  # s_0, of the backward state at the first word
    score, step, read_out = additive(model.attention), gru(decoder), maxout(model)
    logits, all_weights = [], []
    for y in embedded(model, model.target_embedding, target):
        c, weights = attend(score, s, memory)
        (s,) = step(np.concatenate([y, c]), (s,))
        logits.append(output(model)(read_out(s, c, y)))
        all_weights.append(weights)
    return logits, all_weights


def luong_2015(model, source, target):
    """Sections 3 and 3.1, and 3.3 where the model feeds its input; the source as Sutskever's."""
    end = len(source) - 1
    order = [*reversed(range(end)), end]
    xs, states = embedded(model, model.source_embedding, source[order]), []
    for (encoder,) in model.encoder:
        xs, state = read(lstm(encoder), xs, (np.zeros(encoder.units),) * 2)
        states.append(state)
    memory = [xs[order.index(place)] for place in range(len(source))]
    return luong_decoder(model, memory, states, target)


def luong_decoder(model, memory, states, target):
    score, read_out = luong_score(model.attention), linear(model.read_out_map)
    fed, logits, all_weights = np.zeros(model.read_out_dim), [], []
    for y in embedded(model, model.target_embedding, target):
        h = np.concatenate([y, fed]) if model.input_feeding else y
        for i, layer in enumerate(model.decoder):
            states[i] = lstm(layer)(h, states[i])
            h = states[i][0]
        c, weights = attend(score, h, memory)
        fed = np.tanh(read_out(np.concatenate([h, c])))  # (5)
        logits.append(output(model)(fed))  # (6)
        all_weights.append(weights)
    return logits, all_weights


def bidirectional(model, source, target):
    """The builder's default: Luong's decoder on an encoder whose layers all read both ways, each
    decoder layer begun by the encoder layer as far from the top.
    """
    xs, last = embedded(model, model.source_embedding, source), []
    for encoders in model.encoder:
        zeros = (np.zeros(encoders[0].units),) * 2
        xs, directions = read_both_ways([lstm(e) for e in encoders], xs, zeros)
        last.append([np.concatenate(pair) for pair in zip(*directions, strict=True)])
    states = [
        tuple(np.tanh(linear(bridge)(state)) for bridge, state in zip(maps, states, strict=True))
        for maps, states in zip(model.bridge_maps, last[-len(model.decoder) :], strict=True)
    ]
    return luong_decoder(model, xs, states, target)


def gnmt(model, source, target):
    """Wu et al. 2016, section 3: all but the first two layers are residual (equation 6).

    Section 3: the query y_{i-1} is the bottom layer's output at the step before, and its context
    goes to all layers.
    """
    xs = embedded(model, model.source_embedding, source)
    both, *others = model.encoder
    zeros = (np.zeros(both[0].units),) * 2
    xs, _ = read_both_ways([lstm(e) for e in both], xs, zeros)  # section 3.2
    for number, (encoder,) in enumerate(others, start=2):
        outputs, _ = read(lstm(encoder), xs, zeros)
        xs = [m + x for m, x in zip(outputs, xs, strict=True)] if number >= 3 else outputs
    score = additive(model.attention)
    states = [(np.zeros(layer.units),) * 2 for layer in model.decoder]
    logits, all_weights = [], []
    for y in embedded(model, model.target_embedding, target):
        context, weights = attend(score, states[0][0], xs)
        states[0] = lstm(model.decoder[0])(np.concatenate([y, context]), states[0])
        h = states[0][0]
        for i, layer in enumerate(model.decoder[1:], start=1):
            states[i] = lstm(layer)(np.concatenate([h, context]), states[i])
            h = states[i][0] + h if i + 1 >= 3 else states[i][0]
        logits.append(output(model)(h))
        all_weights.append(weights)
    return logits, all_weights


def test_sutskever_equals_the_paper():
    assert_model_equals(small_model("lstm-sutskever"), sutskever_2014)


def test_cho_equals_the_paper():
    assert_model_equals(rnn("gru-cho", bridge="dense"), cho_2014)


def test_bahdanau_equals_the_paper():
    assert_model_equals(small_model("gru-bahdanau"), bahdanau_2015)


@pytest.mark.parametrize("input_feeding", [True, False])
@pytest.mark.parametrize("score", ["dot", "general", "concat"])
def test_luong_equals_the_paper(score, input_feeding):
    model = rnn("lstm-luong", attention=score, input_feeding=input_feeding)
    assert_model_equals(model, luong_2015)


def test_gnmt_equals_the_paper():
    assert_model_equals(small_model("lstm-gnmt"), gnmt)


def test_a_bidirectional_encoder_equals_the_docstring():
    assert_model_equals(rnn("lstm-general-bi", num_layers=(3, 2)), bidirectional)


# The Transformer: Vaswani et al. 2017, and the options.


def sinusoids(num_positions, dim):
    """Section 3.5."""
    encoding = np.zeros((num_positions, dim))
    for position in range(num_positions):
        for i in range(dim // 2):
            angle = position / 10000 ** (2 * i / dim)
            encoding[position, 2 * i] = math.sin(angle)
            encoding[position, 2 * i + 1] = math.cos(angle)
    return encoding


def turned(x):
    """Su et al. 2021, equation 15: a pair of x `(length, dim)` as a complex number, times e^(i m t)."""
    half = x.shape[1] // 2
    t = 10000.0 ** (-2 * np.arange(half) / x.shape[1])
    z = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * np.arange(len(x))[:, None] * t)
    return np.concatenate([z.real, z.imag], axis=1)


def t5_bucket(relative_position, bidirectional, num_buckets=32, max_distance=128):
    """`_relative_position_bucket` of Raffel et al.'s code (Mesh TensorFlow), in its float32."""
    ret, n = 0, -relative_position
    if bidirectional:
        num_buckets //= 2
        ret += (n < 0) * num_buckets
        n = np.abs(n)
    else:
        n = np.maximum(n, 0)
    max_exact = num_buckets // 2
    ratio = np.maximum(n, 1).astype(np.float32) / np.float32(max_exact)
    scale = np.float32(math.log(max_distance / max_exact))
    large = np.log(ratio) / scale * np.float32(num_buckets - max_exact)
    large = np.minimum(max_exact + large.astype(np.int32), num_buckets - 1)
    return ret + np.where(n < max_exact, n, large)


def feed_forward(layer, x):
    """Equation 2; GELU's tanh form; Shazeer 2020, equation 6."""
    outer, kernel, bias = linear(layer.outer), exact(layer.inner.kernel), exact(layer.inner.bias)
    if layer.activation == "swiglu":
        (w, v), (b, c) = np.split(kernel, 2, axis=1), np.split(bias, 2)
        gate = x @ w + b
        return outer(gate * sigmoid(gate) * (x @ v + c))
    x = x @ kernel + bias
    if layer.activation == "gelu":
        return outer(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    return outer(np.maximum(x, 0))


def ssru(layer, xs):
    """Kim et al. 2019, section 3: the forget gate alone, and a ReLU."""
    forget, candidate = linear(layer.forget), linear(layer.candidate)
    c, outputs = np.zeros(layer.dim), []
    for x in xs:
        f = sigmoid(forget(x))
        c = f * c + (1 - f) * candidate(x)
        outputs.append(np.maximum(c, 0))
    return np.array(outputs)


def normalize(norm, x):
    if hasattr(norm, "beta"):
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
        return x * exact(norm.gamma) + exact(norm.beta)
    return x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-6) * exact(norm.gamma)


def attention(layer, query, keys, values, bias, turn=lambda x: x):
    """Equation 1, head by head; `bias (num_heads, queries, keys)`. Also the heads' mean weights."""
    contexts, all_weights = [], []
    shared_by = layer.num_heads // layer.num_key_heads
    for h, q in enumerate(np.split(query, layer.num_heads, axis=1)):
        k, v = (np.split(x, layer.num_key_heads, axis=1)[h // shared_by] for x in (keys, values))
        scores = turn(q) @ turn(k).T / math.sqrt(q.shape[1]) + bias[h]
        weights = np.array([softmax(row) for row in scores])
        contexts.append(weights @ v)
        all_weights.append(weights)
    context = np.concatenate(contexts, axis=1)
    return linear(layer.output_projection)(context), np.mean(all_weights, axis=0)


def transformer(model, source, target):
    options = model.get_config()
    turn = turned if options["positions"] == "rotary" else lambda x: x

    def embed(embedding, positions, ids):
        x = exact(embedding.embeddings)[ids] * math.sqrt(options["model_dim"])
        if options["positions"] == "sinusoidal":
            x = x + sinusoids(len(ids), options["model_dim"])
        elif options["positions"] == "learned":
            x = x + exact(positions.embeddings)[: len(ids)]
        return x

    def bias_of(relative, length, bidirectional):
        place = np.arange(length)
        distance = place[None] - place[:, None]
        bias = np.zeros((options["num_heads"], length, length))
        if relative is not None:
            bias += np.moveaxis(exact(relative.table)[t5_bucket(distance, bidirectional)], 2, 0)
        return bias if bidirectional else np.where(distance > 0, -np.inf, bias)

    def residual(x, norm, sub_layer):
        if options["norm_first"]:
            return x + sub_layer(normalize(norm, x))
        return normalize(norm, x + sub_layer(x))

    def self_attention(layer, bias):
        if isinstance(layer, SSRU):
            return lambda x: ssru(layer, x)
        ends = np.cumsum([options["model_dim"], layer.key_dim])

        def of(x):
            parts = np.split(linear(layer.query_key_value)(x), ends, axis=1)
            return attention(layer, *parts, bias, turn)[0]

        return of

    x = embed(model.source_embedding, model.source_positions, source)
    bias = bias_of(model.encoder_bias, len(source), True)
    for layer in model.encoder_layers:
        x = residual(x, layer.self_attention_norm, self_attention(layer.self_attention, bias))
        x = residual(x, layer.feed_forward_norm, partial(feed_forward, layer.feed_forward))
    memory = normalize(model.encoder_norm, x) if options["norm_first"] else x

    x = embed(model.target_embedding, model.target_positions, target)
    bias = bias_of(model.decoder_bias, len(target), False)
    no_bias = np.zeros((options["num_heads"], 1, 1))
    weights = None

    def cross_attention(layer, x):
        nonlocal weights
        keys, values = np.split(linear(layer.key_value)(memory), 2, axis=1)
        x, weights = attention(layer, linear(layer.query)(x), keys, values, no_bias)
        return x

    for layer in model.decoder_layers:
        x = residual(x, layer.self_attention_norm, self_attention(layer.self_attention, bias))
        x = residual(x, layer.cross_attention_norm, partial(cross_attention, layer.cross_attention))
        x = residual(x, layer.feed_forward_norm, partial(feed_forward, layer.feed_forward))
    x = normalize(model.decoder_norm, x) if options["norm_first"] else x
    return [output(model)(row) for row in x], weights


@pytest.mark.parametrize("case", TRANSFORMERS)
def test_a_transformer_equals_the_papers(case):
    # With weights twice as large, rounding these alone moves some logits by 1e-5.
    assert_model_equals(randomize(small_model(case), scale=1), transformer)


def test_ssru_equals_the_paper_at_once_and_stepwise():
    layer = randomize(built(SSRU(8), (None, 8)), scale=2)
    x = np.random.default_rng(3).normal(size=(2, 7, 8)).astype("float32")
    expected = np.array([ssru(layer, row) for row in x])
    assert_equal(layer(x.reshape(14, 8), batch=2), expected.reshape(14, 8))
    state = layer.first_state(2, 1)
    for t in range(7):
        step, state = layer.step(x[:, t], state)
        assert_equal(step, expected[:, t])


@pytest.mark.parametrize("activation", ["relu", "gelu", "swiglu"])
def test_feed_forward_equals_the_papers(activation):
    options = {"model_dim": 8, "feed_forward_dim": 12, "activation": activation, "dropout": 0.1}
    layer = randomize(built(FeedForward(SimpleNamespace(**options)), (None, 8)), scale=2)
    x = np.random.default_rng(3).normal(size=(20, 8)).astype("float32")
    assert_equal(layer(x), feed_forward(layer, x))


# An angle of so many radians is rounded twice: its frequency, and itself.
FAR, FAR_TOLERANCE = 300, 300 * 2.0**-23


def test_sinusoids_equal_the_paper():
    expected = sinusoids(FAR, 10)
    assert_equal(sinusoidal_encoding(np.arange(FAR), 10), expected, FAR_TOLERANCE)


def test_rotation_is_a_complex_product():
    x = np.random.default_rng(3).normal(size=(FAR, 6)).astype("float32")
    assert_equal(rotate(x, rotation(np.arange(FAR), 6)), turned(x), FAR_TOLERANCE)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_biases_are_those_of_t5s_buckets(bidirectional):
    layer = randomize(built(RelativeBias(3, bidirectional), None))
    query, key = np.arange(0, 400, 57, dtype=np.int32), np.arange(400, dtype=np.int32)
    buckets = t5_bucket(key[None] - query[:, None], bidirectional)
    assert len(np.unique(buckets)) == (31 if bidirectional else 32)
    expected = np.moveaxis(exact(layer.table)[buckets], 2, 0)
    np.testing.assert_array_equal(layer(query, key), expected[None])
