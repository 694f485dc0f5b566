"""Fine-tuning: initial weights, new subwords and frozen parts of runs that start from a model."""

import contextlib
import itertools
import json
import re
import shlex
import zipfile
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from random_models import mostly_long, randomize
from seq2lite.export.runtime.tokenizer import Tokenizer
from seq2lite.recipes import ask, distill, pronounce, summarize, translate
from seq2lite.recipes.data.extension import added_subwords, extend_tokenizer
from seq2lite.recipes.data.load import load_data
from seq2lite.recipes.data.tokenizers import learn_tokenizer, symbol_tokenizer
from seq2lite.recipes.distill import load_teacher
from seq2lite.recipes.options import flatten, replace
from seq2lite.recipes.run.base import BaseModel
from seq2lite.recipes.run.build import PARTS, build_model, freeze
from seq2lite.recipes.run.command_line import export_command, parse_config
from seq2lite.recipes.run.fine_tuning import FineTuning
from seq2lite.recipes.run.folder import open_run
from seq2lite.recipes.run.model import ModelOptions
from seq2lite.recipes.run.prepare import prepare_run
from seq2lite.recipes.run.record import describe_run
from seq2lite.recipes.run.report import write_report
from seq2lite.recipes.training.checkpoints import Checkpoints
from seq2lite.recipes.training.fit import fit
from seq2lite.recipes.training.history import History
from seq2lite.recipes.training.options import Training
from seq2lite.recipes.training.result import RunResult

FAMILIES = {
    "transformer_tiny": ("model_dim=16", "num_heads=2", "feed_forward_dim=24", "num_layers=[2,1]"),
    "rnn_tiny": ("embedding_dim=16", "hidden_dim=16"),
}


def write_base(folder, tokenizer, preset, **options):
    """Write what a run of a recipe leaves, with random weights; returns the folder and the model."""
    config = translate.Config.of(
        preset=preset, architecture=FAMILIES[preset], dropout=0.05, max_length=31, **options
    )
    model = randomize(build_model(config, tokenizer))
    folder.mkdir()
    model.save(folder / "model.keras")
    sides = tokenizer if isinstance(tokenizer, tuple) else (tokenizer,)
    for side, name in zip(sides, ("tokenizer.model", "target_tokenizer.model"), strict=False):
        (folder / name).write_bytes(side.model_bytes)
    record = {"recipe": "translate", "max_length": 31, "languages": ["en", "ko"]}
    (folder / "seq2lite-run.json").write_text(json.dumps(record), "utf-8")
    return folder, model


@pytest.fixture(params=FAMILIES)
def base(request, tmp_path, tokenizer):
    return write_base(tmp_path / "base", tokenizer, request.param)


@pytest.fixture
def domain(tmp_path):
    """Files of pairs with words that the tokenizer splits into many subwords."""
    for name, letters in (("train", "abcdefghij"), ("valid", "klm")):
        lines = [f"quizzical {x}\t퀴퀴 {x}\n" for x in letters]
        (tmp_path / f"{name}.tsv").write_text("".join(lines), "utf-8")
    return {name: (str(tmp_path / f"{name}.tsv"),) for name in ("train", "valid")}


def weights_of(model):
    return {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}


def test_a_run_starts_with_the_weights_the_options_and_the_tokenizer_of_its_base(base, domain):
    folder, model = base
    for path in (folder, folder / "model.keras"):
        config = translate.Config.of(init_from=str(path), **domain)
        assert (config.model.preset, config.model.dropout) == (model.name, 0.05)
        assert config.data.max_lengths == (31, 31) and config.run.languages == ("en", "ko")
        data = load_data(config)
        assert data.tokenizer.model_bytes == (folder / "tokenizer.model").read_bytes()
        start = build_model(config, data.tokenizer)
        assert start.get_config() == model.get_config()
        for path, value in weights_of(model).items():
            np.testing.assert_array_equal(weights_of(start)[path], value)


def test_options_that_are_given_go_before_those_of_the_base(base):
    folder, model = base
    config = translate.Config.of(
        init_from=str(folder), dropout=0.4, max_length=7, languages=("a", "b")
    )
    assert (config.model.dropout, config.data.max_length) == (0.4, 7)
    assert config.run.languages == ("a", "b")
    assert config.peak_learning_rate < model.peak_learning_rate
    given = translate.Config.of(
        init_from=str(folder), preset=model.name, architecture=FAMILIES[model.name][:1]
    )
    assert given == translate.Config.of(init_from=str(folder))
    flags = ["--init-from", str(folder), "--dropout", "0.4", "--max-length", "7"]
    flags += ["--languages", "a", "b"]
    assert parse_config("", translate.Config, flags) == config
    # The defaults of the recipe are given too, where those of the base are others.
    defaults = translate.Config()
    usual = {"dropout": defaults.model.dropout, "max_length": defaults.data.max_length}
    for options in ({}, usual, {"languages": ()}, {"dropout": 0.4, "languages": ("a", "b")}):
        config = translate.Config.of(init_from=str(folder), **options)
        assert {"languages": ("en", "ko")} | options == {
            n: v for n, v in flatten(config).items() if n in options or n == "languages"
        }
        flags = shlex.split(export_command(config).partition("translate ")[2])
        assert parse_config("", translate.Config, flags) == replace(config, finish=True)
        assert "--preset" not in flags


def test_options_in_a_group_are_given_where_they_differ_from_the_group(base, domain):
    folder, model = base
    config = translate.Config.of(
        init_from=str(folder),
        data=translate.TranslationData(**domain),
        run=translate.RunOptions(output="runs/other"),
        model=ModelOptions(dropout=0.3),
    )
    assert config.data.max_length == 31 and config.run.languages == ("en", "ko")
    assert (config.model.preset, config.model.dropout) == (model.name, 0.3)
    data = translate.TranslationData(max_length=7, **domain)
    assert translate.Config.of(init_from=str(folder), data=data).data.max_length == 7


def test_lengths_of_a_base_suit_recipes_with_one_and_with_two(base):
    folder, _ = base
    for recipe in (summarize, ask):
        config = recipe.Config.of(init_from=str(folder))
        assert config.data.max_lengths == (31, 31)
        assert not config.run.languages  # those of a translation
    (folder / "seq2lite-run.json").write_text('{"max_source_length": 9, "max_target_length": 5}')
    assert pronounce.Config.of(init_from=str(folder)).data.max_lengths == (9, 9)
    assert ask.Config.of(init_from=str(folder)).data.max_lengths == (9, 5)
    (folder / "seq2lite-run.json").write_text("corrupted")
    assert ask.Config.of(init_from=str(folder)).data.max_lengths == ask.Config().data.max_lengths


def test_options_that_contradict_the_base_are_refused(base):
    folder, model = base
    (other,) = {*FAMILIES} - {model.name}
    refused = [
        ({"preset": other}, f"`preset` must be {model.name}, .* Received: {other}"),
        (
            {"architecture": ("num_layers=7",)},
            "`architecture` must not change .*model.keras, which has num_layers=.*: num_layers=7",
        ),
        ({"vocabulary_size": 999}, "`vocabulary_size` must not be given with `init_from`"),
    ]
    for options, expected in refused:
        with pytest.raises(ValueError, match=expected):
            translate.Config.of(init_from=str(folder), **options)


def test_a_base_that_cannot_be_used_is_named(base, bundle, tmp_path):
    folder, _ = base
    (folder / "other.keras").write_bytes(b"no archive")
    with zipfile.ZipFile(folder / "mine.keras", "w") as file:
        file.writestr("config.json", json.dumps({"registered_name": "mine>Model", "config": {}}))
    refused = {
        "missing": "no such path",
        "base/other.keras": "a file that Keras has not written",
        "base/mine.keras": "a model that is no rnn_seq2seq or transformer: mine>Model",
        str(bundle): "a bundle, which has no weights to train: give the run folder",
        "": "no model.keras in it: finish the run",
    }
    for path, problem in refused.items():
        with pytest.raises(ValueError, match=f"`init_from` must be .* Received: .*, {problem}"):
            translate.Config.of(init_from=str(tmp_path / path))
    (folder / "tokenizer.model").unlink()
    with pytest.raises(
        ValueError, match=r"Received: .*base, no tokenizer.model in the model or beside it"
    ):
        translate.Config.of(init_from=str(folder))


def test_a_base_is_read_once(base, monkeypatch):
    folder, _ = base
    config = translate.Config.of(init_from=str(folder))
    first = config.base
    monkeypatch.setattr(BaseModel, "open", lambda path: pytest.fail("read again"))
    assert config.base is first


def test_a_keras_file_with_a_tokenizer_needs_no_other_file(base, tokenizer, tmp_path):
    _, model = base
    file = str(tmp_path / "alone" / "mine.keras")
    (tmp_path / "alone").mkdir()
    model.attach_tokenizer(tokenizer, max_source_length=9, max_target_length=5)
    model.save(file)
    config = ask.Config.of(init_from=file)
    assert config.data.max_lengths == (9, 5)
    assert config.base.tokenizer.model_bytes == tokenizer.model_bytes
    teacher = load_teacher(distill.Config.of(teacher=file))
    assert teacher.tokenizer.vocabulary == tokenizer.vocabulary
    # The tokenizer of the model is used, not another one beside it.
    (tmp_path / "alone" / "tokenizer.model").write_bytes(
        extend_tokenizer(tokenizer, ["뷁"]).model_bytes
    )
    assert BaseModel.open(file).tokenizer.model_bytes == tokenizer.model_bytes


def test_the_tokenizer_of_another_model_is_refused(base, tokenizer):
    folder, _ = base
    size = tokenizer.vocabulary_size
    other = symbol_tokenizer(["cat"], ["K AE1 T"])
    for content, problem in (
        (extend_tokenizer(tokenizer, ["뷁"]), f"vocabulary_size={size + 1} instead of {size}"),
        (other, f"vocabulary_size={other.vocabulary_size} instead of {size}"),
    ):
        (folder / "tokenizer.model").write_bytes(content.model_bytes)
        with pytest.raises(ValueError, match=f"not that of the model: it has {problem}, source"):
            translate.Config.of(init_from=str(folder))


def test_what_changes_a_base_is_refused_without_one():
    for name, value in (("extend_vocabulary", 5), ("freeze", ("encoder",))):
        with pytest.raises(ValueError, match=f"`{name}` must be given with `init_from`"):
            translate.Config.of(**{name: value})
    with pytest.raises(
        ValueError, match=r"`tags` must be texts without a space. Received: '<a b>'"
    ):
        translate.Config.of(tags=("<a b>",))
    with pytest.raises(ValueError, match=r"`extend_vocabulary` must be at least 0. Received: -1"):
        translate.Config.of(extend_vocabulary=-1)


@pytest.mark.parametrize("part", ["embeddings", "target_embedding", "encoder,source"])
@pytest.mark.parametrize("added", [{"extend_vocabulary": 5}, {"tags": ("<ko>",)}])
def test_new_rows_are_not_frozen(part, added):
    with pytest.raises(ValueError, match=r"`freeze` must not contain the embeddings with .*rows"):
        FineTuning(init_from="base", freeze=(part,), **added)
    FineTuning(init_from="base", freeze=("encoder", "decoder", "output"), **added)
    FineTuning(init_from="base", freeze=(part,))


def test_tags_are_written_as_a_tokenizer_reads_them_and_once():
    assert FineTuning(tags=("<e\u0301>", "<ko>", "<\u00e9>", " <ko>")).tags == ("<\u00e9>", "<ko>")


@pytest.mark.parametrize("embeddings", ["shared", "shared_target", "separate"])
@pytest.mark.parametrize("preset", FAMILIES)
def test_rows_of_new_subwords_are_means_of_old_ones(preset, embeddings, tmp_path, pairs, domain):
    sides = [learn_tokenizer([pair[i] for pair in pairs], 900) for i in (0, 1)]
    tokenizer = sides[1] if embeddings == "shared" else tuple(sides)
    architecture = (*FAMILIES[preset], f"embeddings={embeddings}")
    config = translate.Config.of(preset=preset, architecture=architecture)
    trained = randomize(build_model(config, tokenizer))
    folder, _ = write_base(tmp_path / "base", tokenizer, preset)
    trained.save(folder / "model.keras")
    config = translate.Config.of(
        init_from=str(folder), extend_vocabulary=3, tags=("<ko>",), **domain
    )
    data = load_data(config)
    model = build_model(config, data.tokenizer)
    olds, news = weights_of(trained), weights_of(model)
    extended = data.tokenizer if isinstance(data.tokenizer, tuple) else (data.tokenizer,) * 2
    bases = tokenizer if isinstance(tokenizer, tuple) else (tokenizer,) * 2
    tables = {"source_embedding/embeddings": 0, "output/bias": 1}
    tables |= {"target_embedding/embeddings": 1} if embeddings != "shared" else {}
    tables |= {"output/table": 1} if embeddings == "separate" else {}
    assert {name for name in olds if olds[name].shape != news[name].shape} == {*tables}
    for name, old in olds.items():
        new = news[name]
        np.testing.assert_array_equal(new[: len(old)], old)
        if name in tables:
            side = tables[name]
            parts = added_subwords(bases[side], extended[side])
            assert len(parts) == len(new) - len(old) > 1
            for row, ids in zip(new[len(old) :], parts, strict=True):
                np.testing.assert_allclose(row, old[ids].mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("preset", "embeddings", "parts"),
    mostly_long(
        itertools.product(
            FAMILIES,
            ("shared", "separate"),
            (("encoder,embeddings",), ("decoder", "output"), ("encoder_0", "embeddings")),
        ),
        [
            ("rnn_tiny", "shared", ("encoder,embeddings",)),
            ("transformer_tiny", "separate", ("decoder", "output")),
        ],
    ),
)
def test_frozen_weights_stay_equal_and_all_others_train(
    preset, embeddings, parts, tmp_path, tokenizer, domain
):
    config = translate.Config.of(
        preset=preset, architecture=(*FAMILIES[preset], f"embeddings={embeddings}")
    )
    trained = randomize(build_model(config, tokenizer))
    folder, _ = write_base(tmp_path / "base", tokenizer, preset)
    trained.save(folder / "model.keras")
    training = Training(epochs=2, batch_tokens=64, ema=0.9, average=2, precision="float32")
    config = translate.Config.of(init_from=str(folder), freeze=parts, training=training, **domain)
    data = load_data(config)
    model = build_model(config, data.tokenizer)
    start = weights_of(model)
    frozen = {weight.path for weight in model.non_trainable_weights}
    assert frozen and frozen < start.keys()
    result = fit(model, data, config.training, tmp_path / "run")
    end = weights_of(result.model)
    # A key's bias adds the same to all scores, so it has no gradient.
    trained = {n for n in start if not np.array_equal(start[n], end[n])}
    assert not trained & frozen
    assert {n for n in start.keys() - frozen - trained if "key/bias" not in n} == set()
    # The parts are frozen in the saved model too.
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert {weight.path for weight in loaded.non_trainable_weights} == frozen


def test_parts_have_the_same_names_in_both_families(tokenizer):
    for preset, architecture in FAMILIES.items():
        config = translate.Config.of(preset=preset, architecture=architecture)
        paths = {}
        for part in (*PARTS, "output"):
            model = build_model(config, tokenizer)
            freeze(model, (part,))
            paths[part] = {weight.path for weight in model.non_trainable_weights}
        everything = {weight.path for weight in model.weights}
        assert set.union(*paths.values()) == everything
        assert paths["embeddings"] == {"source_embedding/embeddings"}
        assert paths["output"] == {"source_embedding/embeddings", "output/bias"}  # its table
        assert not paths["encoder"] & paths["decoder"]


def test_unknown_parts_and_nothing_left_to_train_are_refused(tokenizer):
    model = build_model(
        translate.Config.of(preset="rnn_tiny", architecture=FAMILIES["rnn_tiny"]), tokenizer
    )
    expected = (
        r"`freeze` must name parts of the model: embeddings, encoder, decoder, or its layers "
        r"source_embedding, .*encoder_0_forward.*\. Received: enc$"
    )
    with pytest.raises(ValueError, match=expected):
        freeze(model, ("enc",))
    assert model.trainable_weights == model.weights
    with pytest.raises(ValueError, match=r"`freeze` must leave weights to train"):
        freeze(model, (*PARTS, "output"))


def test_layers_that_the_base_froze_are_trained_again(base, domain):
    folder, model = base
    freeze(model, ("encoder",))
    model.save(folder / "model.keras")
    config = translate.Config.of(init_from=str(folder), **domain)
    start = build_model(config, Tokenizer(folder / "tokenizer.model"))
    assert not start.non_trainable_weights


def test_a_run_must_not_replace_its_base_and_a_changed_base_is_another_run(
    base, domain, tmp_path, capsys
):
    folder, model = base
    for output in (folder, tmp_path):
        config = translate.Config.of(
            init_from=str(folder), output=str(output), overwrite=True, **domain
        )
        with pytest.raises(ValueError, match=r"`output` must not be a folder that the run reads"):
            prepare_run(config)
    config = replace(config, output=str(tmp_path / "run"), overwrite=False)
    with pytest.raises(RuntimeError, match="stopped"), open_run(prepare_run(config)):
        raise RuntimeError("stopped")
    assert prepare_run(config).is_resumable
    shown = (
        rf"initial weights: .*base/model.keras \({model.name}\); at most 31 source and 31 target"
    )
    assert re.match(shown, capsys.readouterr().out)
    other = ModelProto.FromString((folder / "tokenizer.model").read_bytes())
    other.pieces[-1].piece = "another"
    (folder / "tokenizer.model").write_bytes(other.SerializeToString())
    with pytest.raises(ValueError, match=r"other options.* Received: content of .*tokenizer.model"):
        prepare_run(config)


def test_a_report_names_the_recipe_and_the_base(base, domain, tmp_path):
    folder, model = base
    history = History(evaluations=[{"loss": 2.0, "val_loss": 3.0, "seconds": 1.0}])
    data = SimpleNamespace(summary=())
    result = RunResult(tmp_path, data, model, history, averaged=(1,), is_complete=True)
    line = f"The initial weights are those of `{folder}`.\n"
    for init_from, is_named in ((str(folder), True), ("", False)):
        config = translate.Config.of(init_from=init_from, **domain)
        write_report(result, describe_run(config))
        report = (tmp_path / "report.md").read_text("utf-8")
        assert report.startswith("# translate: ") and (line in report) is is_named


@pytest.mark.parametrize("preset", mostly_long(FAMILIES, []))
def test_a_stopped_run_resumes_to_the_same_weights(preset, tokenizer, domain, tmp_path):
    folder, _ = write_base(tmp_path / "base", tokenizer, preset)
    results = {}
    for name, stops in (("whole", ()), ("stopped", (1, 2))):
        training = Training(epochs=3, batch_tokens=64, warmup_steps=2, precision="float32")
        config = translate.Config.of(
            init_from=str(folder),
            extend_vocabulary=2,
            freeze=("encoder",),
            output=str(tmp_path / name),
            training=training,
            dropout=0.1,
            **domain,
        )
        for stop in (*stops, None):
            data = load_data(config)
            model = build_model(config, data.tokenizer)
            try:
                with stopped_after(stop):
                    result = fit(model, data, config.training, tmp_path / name)
            except KeyboardInterrupt:
                continue
        results[name] = weights_of(result.model)
    for path, value in results["whole"].items():
        np.testing.assert_array_equal(results["stopped"][path], value)


@contextlib.contextmanager
def stopped_after(number):
    """Interrupt a training after it has written checkpoint `number`; never, if it is None."""
    save = Checkpoints.save

    def save_and_stop(self, current, *args, **kwargs):
        save(self, current, *args, **kwargs)
        if current == number:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_and_stop)
        yield


def test_new_subwords_of_a_pronunciation_are_letters_and_phones(tmp_path):
    old, new = "cat\tK AE1 T\n", "zac\tZ AE1 K\nact\tAE1 K T\n"
    for name, text in (("old", old), ("train", new), ("valid", "cca\tK AE1\n")):
        (tmp_path / f"{name}.tsv").write_text(text, "utf-8")
    files = {name: (str(tmp_path / f"{name}.tsv"),) for name in ("train", "valid")}
    base = symbol_tokenizer(["cat"], ["K AE1 T"])
    folder, _ = write_base(tmp_path / "base", base, "rnn_tiny")
    options = {"init_from": str(folder), "epochs": 2, **files}
    kept = pronounce.build_data(pronounce.Config.of(**options)).tokenizer
    assert kept.model_bytes == base.model_bytes
    config = pronounce.Config.of(**options, extend_vocabulary=9)
    extended = pronounce.build_data(config).tokenizer
    # ▁z, ▁a and ▁Z; "z" stands within no word of the base.
    assert [len(ids) for ids in extended.encode(["zac", "act", "Z AE1 K"])] == [3, 3, 3]
    assert base.encode(["cat", "K AE1 T"]) == extended.encode(["cat", "K AE1 T"])
    build_model(config, extended)
