"""Alignment plots and architecture diagrams."""

import importlib.util
import logging
import os
import re
import subprocess
import sys
import warnings
from functools import cache
from itertools import combinations
from pathlib import Path

import keras
import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch

from random_models import CASES, RNNS, TRANSFORMERS, initial_model, mostly_long, randomize
from seq2lite import zoo
from seq2lite.zoo import plot
from seq2lite.zoo.plot.alignment import FONTS

ROOT = Path(__file__).parents[2]
SOURCE, TARGET = ["▁Open", "▁File", "s", "</s>"], ["▁파일", "▁열기", "</s>"]
WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(4), 3)


# The models of the papers, and others whose diagrams differ most.
DRAWN = (
    "transformer-learned-gelu",
    "transformer-rotary-rms-swiglu-grouped",
    "transformer-relative-ssru-post-norm",
    "gru-None-bi",
    "gru-concat-bottom",
    "gru-cho",
    "lstm-luong",
    "lstm-gnmt",
)


@cache
def diagram(case):
    """A model of CASES, without weights, and the Axes of its diagram."""
    with keras.StatelessScope(initialize_variables=False):
        model = initial_model(case)
    return model, plot.plot_architecture(model)


def rendered(ax):
    """Render the figure of the Axes."""
    FigureCanvasAgg(ax.figure).draw()
    return ax


def test_each_pixel_is_the_weight_of_its_source_and_target_token():
    ax = plot.plot_alignment(WEIGHTS, SOURCE, TARGET)
    (image,) = ax.get_images()
    np.testing.assert_array_equal(image.get_array(), WEIGHTS)
    assert (image.get_clim(), image.get_cmap().name) == ((0, 1), "gray")
    left, right, bottom, top = image.get_extent()
    # Rows run downward, like the ticks; each tick is at the center of its row or column.
    assert ax.yaxis_inverted() and bottom > top and not ax.xaxis_inverted() and right > left
    np.testing.assert_allclose(ax.get_xticks(), left + (np.arange(4) + 0.5) * (right - left) / 4)
    np.testing.assert_allclose(ax.get_yticks(), top + (np.arange(3) + 0.5) * (bottom - top) / 3)


def test_source_tokens_label_the_top_and_target_tokens_the_left():
    ax = plot.plot_alignment(WEIGHTS, SOURCE, TARGET, title="열기")
    assert [label.get_text() for label in ax.get_xticklabels()] == SOURCE
    assert [label.get_text() for label in ax.get_yticklabels()] == TARGET
    assert ax.get_title() == "열기"
    assert ax.xaxis.get_tick_params()["labeltop"] and not ax.xaxis.get_tick_params()["labelbottom"]


def test_tokens_are_not_parsed_as_formulas():
    ax = plot.plot_alignment([[1.0]], ["${a$"], ["$b}$"], title="$c")
    assert not any(text.get_parse_math() for text in (*ax.get_xticklabels(), *ax.get_yticklabels()))
    rendered(ax)  # as a formula, the first one would raise


def test_an_alignment_is_drawn_on_the_given_axes():
    ax = Figure().add_subplot()
    assert plot.plot_alignment(keras.ops.convert_to_tensor(WEIGHTS), SOURCE, TARGET, ax=ax) is ax
    np.testing.assert_array_equal(ax.get_images()[0].get_array(), WEIGHTS)


def test_labels_use_installed_fonts_and_draw_without_a_warning(caplog):
    fonts = [name for name in FONTS if name in font_manager.get_font_names()]
    # Without a font for Hangul, matplotlib warns about missing glyphs.
    target = TARGET if fonts[0] != "DejaVu Sans" else ["▁a", "▁b", "</s>"]
    ax = plot.plot_alignment(WEIGHTS, SOURCE, target)
    for label in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        assert label.get_fontfamily() == fonts
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        rendered(ax)
    assert not caplog.records


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            WEIGHTS[:2],
            r"shape \(target tokens, source tokens\)=\(3, 4\). Received: weights of shape \(2, 4\)",
        ),
        (WEIGHTS[None], r"=\(3, 4\). Received: weights of shape \(1, 3, 4\)"),
        (np.where(WEIGHTS > 0.5, np.nan, WEIGHTS), r"finite and non-negative. Received: nan"),
        (np.where(WEIGHTS > 0.5, np.inf, WEIGHTS), r"finite and non-negative. Received: inf"),
        (WEIGHTS - 1, r"finite and non-negative. Received: -"),
    ],
)
def test_an_alignment_that_is_none_is_named_before_anything_is_rendered(weights, message):
    ax = Figure().add_subplot()
    with pytest.raises(ValueError, match=message):
        plot.plot_alignment(weights, SOURCE, TARGET, ax=ax)
    assert not ax.get_images()


def test_a_model_of_another_family_is_refused():
    with pytest.raises(ValueError, match=r"`model` must be .* Received: model=<Sequential"):
        plot.plot_architecture(keras.Sequential())


@pytest.mark.parametrize("case", mostly_long(CASES, DRAWN))
def test_each_layer_is_rendered(case):
    model, ax = diagram(case)
    panels = [patch.get_gid() for patch in ax.patches if patch.get_gid()]
    if case in TRANSFORMERS:
        assert panels == ["encoder_layers", "decoder_layers"]
        counts = [text for text in texts(ax) if re.fullmatch(r"\N{MULTIPLICATION SIGN} \d", text)]
        stacks = model.encoder_layers, model.decoder_layers
        assert [int(text[2:]) for text in counts] == [len(layers) for layers in stacks]
    else:
        for kind, layers in (("encoder", model.encoder), ("decoder", model.decoder)):
            numbers = [f"{kind}_layer_{i + 1}" for i in range(len(layers))]
            assert [gid for gid in panels if gid.startswith(kind)] == numbers
        cells = [text for text in texts(ax) if text in ("LSTM", "GRU")]
        assert len(cells) == 3 * (sum(map(len, model.encoder)) + len(model.decoder))


@pytest.mark.parametrize("case", mostly_long(CASES, DRAWN))
def test_no_text_is_clipped_or_overlapped(case):
    check_layout(rendered(diagram(case)[1]))


# `transformer_big`, the students and `transformer_small` have diagrams like those of the others.
@pytest.mark.parametrize(
    "preset",
    mostly_long(
        zoo.list_presets(),
        ["transformer_base", "gnmt"],
    ),
)
def test_large_sizes_and_a_long_name_fit(preset):
    with keras.StatelessScope(initialize_variables=False):
        model = zoo.build(preset, vocabulary_size=250_000, name=f"{preset} " * 5)
    check_layout(rendered(plot.plot_architecture(model)))


@pytest.mark.parametrize(
    ("case", "layers"),
    [
        ("lstm-gnmt", (8, 8)),
        ("lstm-additive-bi", (6, 3)),
        pytest.param("lstm-sutskever", (6, 6), marks=pytest.mark.long),
        pytest.param("lstm-luong", (1, 4), marks=pytest.mark.long),
        pytest.param("lstm-luong", (8, 5), marks=pytest.mark.long),
        pytest.param("lstm-additive-bi", (2, 6), marks=pytest.mark.long),
    ],
)
def test_many_equal_layers_share_a_row(case, layers):
    options = {"embedding_dim": 12, "hidden_dim": 16, **RNNS[case], "num_layers": layers}
    with keras.StatelessScope(initialize_variables=False):
        model = zoo.rnn_seq2seq(vocabulary_size=60, **options)
    ax = rendered(plot.plot_architecture(model))
    check_layout(ax)
    rows = [text for text in texts(ax) if text.startswith("layer")]
    counted = re.findall(r"layers (\d) to (\d) \(\N{MULTIPLICATION SIGN} (\d)\)", "\n".join(rows))
    assert all(int(last) - int(first) + 1 == int(count) for first, last, count in counted)
    single = len(rows) - len(counted)
    assert single + sum(int(count) for *_, count in counted) == sum(layers)
    assert len(counted) == sum(n > 4 for n in layers)


@pytest.mark.parametrize("case", mostly_long(RNNS, DRAWN))
def test_the_legend_lists_the_lines_that_are_drawn(case):
    model, ax = diagram(case)
    shown = " ".join(texts(ax))
    assert ("input feeding" in shown) == model.input_feeding
    assert ("query: " in shown) == ("attend" in shown) == model.has_attention
    assert ("shared weights" in shown) == (model.get_config()["embeddings"] != "separate")
    assert ("reversed" in shown) == model.reverse_source


def test_a_transformer_shows_its_variant():
    def shown(case):
        return set(texts(diagram(case)[1]))

    assert {"Add, layer normalization", "sinusoidal"} <= shown("transformer-post-norm")
    assert {"Feed-forward, GELU", "learned, 64"} <= shown("transformer-learned-gelu")
    assert {
        "RMS normalization",
        "Feed-forward, SwiGLU",
        "Rotary positions",
        "4 heads of 4, 2 key/value heads",
    } <= shown("transformer-rotary-rms-swiglu-grouped")
    ssru = shown("transformer-relative-ssru-post-norm")
    assert {"SSRU", "Relative bias"} <= ssru and "Masked self-attention" not in ssru


def test_a_diagram_is_scaled_to_given_axes():
    model, own = diagram("lstm-luong")
    # A high resolution, because letter positions are rounded to pixels.
    given = Figure(figsize=own.figure.get_size_inches() / 2, dpi=300).add_axes((0, 0, 1, 1))
    assert plot.plot_architecture(model, ax=given) is given
    check_layout(rendered(given))
    for before, after in zip(own.texts, given.texts, strict=True):
        assert before.get_fontsize() >= 8
        assert after.get_fontsize() == pytest.approx(before.get_fontsize() / 2)


def test_a_model_without_weights_is_rendered():
    with keras.StatelessScope(initialize_variables=False):
        model = zoo.transformer(vocabulary_size=37_000)
        assert "512 → 37,000" in texts(plot.plot_architecture(model))


def test_the_zoo_imports_without_matplotlib():
    # Keras imports matplotlib where it is installed, so hide it.
    code = "import sys; sys.modules['matplotlib'] = None; import seq2lite.zoo"
    environment = {**os.environ, "KERAS_BACKEND": "numpy"}  # starts in half of TensorFlow's time
    subprocess.run([sys.executable, "-c", code], env=environment, timeout=120, check=True)


@pytest.fixture(scope="module")
def figures():
    """docs/draw_figures.py, as a module."""
    spec = importlib.util.spec_from_file_location("draw_figures", ROOT / "docs/draw_figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.long
def test_the_figures_of_the_docs_are_reproducible(figures, tmp_path):
    written = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        figures.draw_architectures(folder)
        written.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert written[0] == written[1]
    assert set(written[0]) == {"gnmt.svg", "rnn_seq2seq.svg", "transformer.svg"}


def test_the_alignment_of_a_run_is_rendered(figures, tokenizer, tmp_path, capsys, monkeypatch):
    sizes = {"cell": "gru", "num_layers": 1, "embedding_dim": 12, "hidden_dim": 16}
    model = randomize(zoo.rnn_seq2seq(**sizes, **tokenizer.vocabulary), scale=2.0)
    model.save(tmp_path / "model.keras")
    (tmp_path / "int8").mkdir()
    (tmp_path / "int8/tokenizer.model").write_bytes(tokenizer.model_bytes)
    seen = []
    alignment = plot.plot_alignment
    monkeypatch.setattr(plot, "plot_alignment", lambda *args: seen.append(args) or alignment(*args))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # missing Hangul glyphs
        figures.draw_alignment(tmp_path, "Open File", tmp_path)
    assert (tmp_path / "alignment.png").read_bytes().startswith(b"\x89PNG")
    ((weights, source, target),) = seen
    assert "".join(source) == "▁Open▁File</s>"
    np.testing.assert_allclose(weights.sum(axis=1), np.ones(len(target)), rtol=1e-5)
    assert capsys.readouterr().out.startswith("Open File → ")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def check_layout(ax):
    """Assert that text stays within its box and the Axes, and overlaps no other text or line."""
    renderer = FigureCanvasAgg(ax.figure).get_renderer()
    extents = {text: text.get_window_extent(renderer) for text in ax.texts}
    whole = ax.get_window_extent()
    boxes = [
        patch.get_window_extent()
        for patch in ax.patches
        if isinstance(patch, FancyBboxPatch) and patch.get_zorder() > 0
    ]
    lines = [
        patch.get_path().transformed(patch.get_transform())
        for patch in ax.patches
        if isinstance(patch, PathPatch) or patch.get_zorder() == 0  # a panel's edge
    ]
    for text, extent in extents.items():
        shown = text.get_text()
        assert whole.contains(*extent.min) and whole.contains(*extent.max), f"{shown} is clipped"
        middle = (extent.min + extent.max) / 2
        around = [box for box in boxes if box.contains(*middle)]
        for box in around:
            assert box.x0 < extent.x0 and extent.x1 < box.x1, f"{shown} leaves its box"
        if not around:
            for line in lines:
                assert not line.intersects_bbox(extent, filled=False), f"a line crosses {shown}"
            for box in boxes:
                assert not box.overlaps(extent), f"a box overlaps {shown}"
    for (one, extent), (other, other_extent) in combinations(extents.items(), 2):
        assert not extent.overlaps(other_extent), f"{one.get_text()} overlaps {other.get_text()}"
