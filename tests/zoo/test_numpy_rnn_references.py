"""RNN models compared with NumPy in float64, written from the papers.

The reference of a model processes one sentence and one token at a time. Where a builder differs
from its paper, a docstring of the reference states how.
"""

import numpy as np
import pytest

from numpy_references import assert_model_equals, embedded, exact, linear, output, sigmoid, softmax
from random_models import RNNS, VOCABULARY, randomize, small_model
from seq2lite import zoo


def rnn(case, **options):
    """Build a case of `random_models` with other options."""
    sizes = {"num_layers": 2, "embedding_dim": 12, "hidden_dim": 16}
    model = zoo.rnn_seq2seq(vocabulary_size=VOCABULARY, **{**sizes, **RNNS[case], **options})
    return randomize(model, scale=2)


# Recurrent cells. A step maps x and the state to the new state. Its first entry is the output.


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


def run(step, xs, state):
    """Return the outputs and the last state."""
    outputs = []
    for x in xs:
        state = step(x, state)
        outputs.append(state[0])
    return outputs, state


def run_bidirectional(steps, xs, zeros):
    """Return the concatenated outputs of each position and the last state of each direction."""
    forward, forward_state = run(steps[0], xs, zeros)
    backward, backward_state = run(steps[1], xs[::-1], zeros)
    joined = [np.concatenate(pair) for pair in zip(forward, backward[::-1], strict=True)]
    return joined, (forward_state, backward_state)


# Attention scores of a query q and an encoder output m.


def additive(attention):
    """Bahdanau et al. 2015, appendix A.1.2: v tanh(W q + U m), plus a bias."""
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
    # W [q; m], plus a bias
    w = np.concatenate([exact(attention.query_map.kernel), exact(attention.key_map.kernel)])
    bias, v = exact(attention.key_map.bias), exact(attention.score_vector)
    return lambda q, m: v @ np.tanh(np.concatenate([q, m]) @ w + bias)


def attend(score, q, memory):
    """Return the context and the weights: Bahdanau et al. 2015, equations 5 and 6."""
    weights = softmax(np.array([score(q, m) for m in memory]))
    return weights @ np.array(memory), weights


def maxout(model):
    """Bahdanau et al. 2015, appendix A.2.2: the maximum of pairs of U s + C c + V E y."""
    read_out = linear(model.read_out_map)

    def apply(s, c, y):
        t = read_out(np.concatenate([s, c, y]))
        return np.array([max(t[2 * i], t[2 * i + 1]) for i in range(len(t) // 2)])

    return apply


# Models of the papers.


def sutskever_2014(model, source, target):
    """Section 3.3: the encoder reads the source reversed, except for the end token."""
    xs = embedded(model, model.source_embedding, [*source[:-1][::-1], source[-1]])
    ys = embedded(model, model.target_embedding, target)
    for (encoder,), decoder in zip(model.encoder, model.decoder, strict=True):
        xs, state = run(lstm(encoder), xs, (np.zeros(encoder.units),) * 2)
        ys, _ = run(lstm(decoder), ys, state)
    return [output(model)(y) for y in ys], None


def cho_2014(model, source, target):
    """Appendix A.1, with two differences.

    c is h_N, not tanh(V h_N). The decoder's reset gate acts on its state only, as in the encoder.
    """
    ((encoder,),), (decoder,) = model.encoder, model.decoder
    xs = embedded(model, model.source_embedding, source)
    _, (c,) = run(gru(encoder), xs, (np.zeros(encoder.units),))
    ((bridge,),) = model.bridge_maps
    h = np.tanh(linear(bridge)(c))
    step, read_out, logits = gru(decoder), maxout(model), []
    for y in embedded(model, model.target_embedding, target):
        (h,) = step(np.concatenate([y, c]), (h,))
        logits.append(output(model)(read_out(h, c, y)))
    return logits, None


def bahdanau_2015(model, source, target):
    """Appendix A.1 and A.2, except that the read-out uses s_i, as in equation 4."""
    (encoders,), (decoder,) = model.encoder, model.decoder
    xs = embedded(model, model.source_embedding, source)
    zeros = (np.zeros(encoders[0].units),)
    memory, (_, (backward,)) = run_bidirectional([gru(e) for e in encoders], xs, zeros)
    ((bridge,),) = model.bridge_maps
    s = np.tanh(linear(bridge)(backward))  # s_0, from the backward state at the first word
    score, step, read_out = additive(model.attention), gru(decoder), maxout(model)
    logits, all_weights = [], []
    for y in embedded(model, model.target_embedding, target):
        c, weights = attend(score, s, memory)
        (s,) = step(np.concatenate([y, c]), (s,))
        logits.append(output(model)(read_out(s, c, y)))
        all_weights.append(weights)
    return logits, all_weights


def luong_2015(model, source, target):
    """Sections 3 and 3.1, and 3.3 with input feeding. The source is reversed as in Sutskever 2014."""
    end = len(source) - 1
    order = [*reversed(range(end)), end]
    xs, states = embedded(model, model.source_embedding, source[order]), []
    for (encoder,) in model.encoder:
        xs, state = run(lstm(encoder), xs, (np.zeros(encoder.units),) * 2)
        states.append(state)
    memory = [xs[order.index(position)] for position in range(len(source))]
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
    """The builder's default: Luong's decoder and a bidirectional encoder.

    The state of each decoder layer starts from the encoder layer at the same distance from the top.
    """
    xs, last = embedded(model, model.source_embedding, source), []
    for encoders in model.encoder:
        zeros = (np.zeros(encoders[0].units),) * 2
        xs, directions = run_bidirectional([lstm(e) for e in encoders], xs, zeros)
        last.append([np.concatenate(pair) for pair in zip(*directions, strict=True)])
    states = [
        tuple(np.tanh(linear(bridge)(state)) for bridge, state in zip(maps, states, strict=True))
        for maps, states in zip(model.bridge_maps, last[-len(model.decoder) :], strict=True)
    ]
    return luong_decoder(model, xs, states, target)


def gnmt(model, source, target):
    """Wu et al. 2016, section 3: all layers except the first two are residual (equation 6).

    The query y_{i-1} is the bottom layer's output at the previous step. All layers receive its
    context.
    """
    xs = embedded(model, model.source_embedding, source)
    bidirectional_layer, *others = model.encoder
    zeros = (np.zeros(bidirectional_layer[0].units),) * 2
    xs, _ = run_bidirectional([lstm(e) for e in bidirectional_layer], xs, zeros)  # section 3.2
    for number, (encoder,) in enumerate(others, start=2):
        outputs, _ = run(lstm(encoder), xs, zeros)
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
