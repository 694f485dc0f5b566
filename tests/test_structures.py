"""The structures that exported files are tested with cover the options of both families."""

import inspect
import itertools

import pytest

from seq2lite import zoo
from structures import NUM_SHORT, RNN_OPTIONS, RNNS, TRANSFORMER_OPTIONS, TRANSFORMERS

FAMILIES = {
    "transformer": (zoo.transformer, TRANSFORMER_OPTIONS, TRANSFORMERS),
    "rnn": (zoo.rnn_seq2seq, RNN_OPTIONS, RNNS),
}
# Options that are sizes, ids or names, or that an exported file does not contain.
NO_STRUCTURE = {
    *("vocabulary_size", "source_vocabulary_size", "pad_id", "start_id", "end_id", "name"),
    *("model_dim", "num_heads", "feed_forward_dim", "max_positions", "dropout"),
    *("embedding_dim", "hidden_dim", "encoder_dim", "read_out_dim"),
}


def is_possible(pair):
    """Whether a model can have two values of options, as docs/reference/zoo.md explains."""
    has_attention = pair.get("attention") not in (None, "fixed")
    return not (
        ({"attention", "query"} <= pair.keys() and has_attention != (pair["query"] is not None))
        or (pair.get("input_feeding") and pair.get("query", "current") != "current")
        or (pair.get("input_feeding") and pair.get("read_out", "tanh") is None)
        or (pair.get("input_feeding") and "attention" in pair and not has_attention)
        or (pair.get("query") == "current" and pair.get("read_out", "tanh") is None)
        or (pair.get("bridge") == "zeros" and pair.get("attention", "fixed") is None)
        or (pair.get("bridge") == "backward" and pair.get("bidirectional", True) is not True)
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_every_option_of_the_builder_is_varied(family):
    builder, options, _ = FAMILIES[family]
    assert set(inspect.signature(builder).parameters) - NO_STRUCTURE == set(options)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_short_tests_cover_every_value(family):
    _, options, rows = FAMILIES[family]
    for place, (option, values) in enumerate(options.items()):
        assert {row[place] for row in rows[: NUM_SHORT[family]]} == set(values), option


@pytest.mark.parametrize("family", FAMILIES)
def test_all_rows_cover_every_possible_pair_of_values(family):
    _, options, rows = FAMILIES[family]
    for (i, first), (j, second) in itertools.combinations(enumerate(options), 2):
        covered = {(row[i], row[j]) for row in rows}
        for pair in itertools.product(options[first], options[second]):
            if is_possible({first: pair[0], second: pair[1]}):
                assert pair in covered, f"{first}={pair[0]!r}, {second}={pair[1]!r}"
