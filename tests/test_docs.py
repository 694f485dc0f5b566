"""The code, links, flags and presets of README and docs are those of the package."""

import dataclasses
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

from seq2lite.__main__ import main
from seq2lite.commands.table import COMMANDS, RECIPES
from seq2lite.export.conversion.precision import float32_twin

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Every Python block of the documentation, by a text that only it contains on its page.
BLOCKS = (
    ("README.md", "learn_tokenizer"),
    ("docs/guides/export.md", "report.file_size"),
    ("docs/guides/export.md", "reports = "),
    ("docs/guides/export.md", "to_saved_model"),
    ("docs/guides/fine-tune.md", "load_model"),
    ("docs/guides/fine-tune.md", "trainable = False"),
    ("docs/guides/run-on-a-device.md", "runner.search"),
    ("docs/guides/run-on-a-device.md", "runner.stream"),
    ("docs/guides/run-on-a-device.md", "banned_tokens"),
    ("docs/guides/run-on-a-device.md", "runner.align"),
    ("docs/guides/run-on-a-device.md", "np.frombuffer"),
    ("docs/guides/run-on-a-device.md", "state.pop"),
    ("docs/guides/run-on-a-device.md", "static.convert"),
    ("docs/guides/run-on-a-device.md", "search.greedy"),
    ("docs/reference/architecture.md", "class BagOfWords"),
    ("docs/reference/architecture.md", "Target("),
    ("docs/reference/bundle-format.md", "read_metadata"),
    ("docs/reference/quantization.md", "Mode("),
    ("docs/reference/zoo.md", "zoo.greedy_search"),
    ("docs/reference/zoo.md", "model.attach_tokenizer"),
    ("docs/reference/zoo.md", "model.compile"),
    ("docs/reference/zoo.md", "tf.function"),
)


def python_blocks(file):
    text = (ROOT / file).read_text("utf-8")
    found = re.findall(r"^ *```python\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(code) for code in found]


def run(file, containing, names, **replacements):
    """Run the one block of a page that contains a text, in `names`; replacements are made in it."""
    assert (file, containing) in BLOCKS
    (code,) = [code for code in python_blocks(file) if containing in code]
    for old, new in replacements.values():
        assert old in code, old
        code = code.replace(old, new)
    exec(compile(code, file, "exec"), names)
    return names


def test_every_python_block_is_listed():
    for page in PAGES:
        file = str(page.relative_to(ROOT))
        for code in python_blocks(file):
            texts = [text for name, text in BLOCKS if name == file and text in code]
            assert len(texts) == 1, f"{file}: {texts} in\n{code}"


@pytest.mark.long
def test_the_readme_trains_exports_and_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(
        "README.md",
        "learn_tokenizer",
        {},
        data=("VSCODE_TRAIN)", "VSCODE_VALID)"),
        subwords=("vocabulary_size=4000", "vocabulary_size=1000"),
        batch=("batch_tokens=1024", "batch_tokens=512"),
        epochs=("num_batches=5 * ", "num_batches=2 * "),
    )
    assert re.fullmatch(r"\[.+\]", capsys.readouterr().out.splitlines()[-1])
    assert (tmp_path / "my-model" / "model.tflite").is_file()


@pytest.mark.long
def test_the_export_guide_writes_the_files_that_it_names(
    tiny_model, tokenizer, pairs, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "serving").mkdir()
    held_out = pairs[:16]
    # A random model: agreement of quantized files is not asked of it.
    model = float32_twin(tiny_model)
    model.attach_tokenizer(tokenizer)
    names = {"model": model, "held_out": held_out}
    page = "docs/guides/export.md"
    run(page, "report.file_size", names, mode=('"int8"', '"float32"'))
    run(page, "reports = ", names, mode=('("float32", "int8")', '("float32", "float16")'))
    run(page, "to_saved_model", names)
    assert (tmp_path / "my-model" / "bundle.json").is_file()
    assert (tmp_path / "my-models" / "float16" / "bundle.json").is_file()
    assert (tmp_path / "serving" / "1" / "saved_model.pb").is_file()


@pytest.mark.long
def test_the_fine_tuning_guide_continues_a_training(
    tiny_model, tokenizer, pairs, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    model = float32_twin(tiny_model)
    model.attach_tokenizer(tokenizer, max_source_length=40, num_beams=1)
    model.save("runs/mine/model.keras")
    for name in ("domain.tsv", "domain-valid.tsv"):
        (tmp_path / name).write_text("".join(f"{a}\t{b}\n" for a, b in pairs[:24]), "utf-8")
    mode = ("held_out=held_out)", 'held_out=held_out, quantization="float32")')
    run("docs/guides/fine-tune.md", "load_model", {}, mode=mode)
    assert (tmp_path / "fine-tuned.keras").is_file()
    assert (tmp_path / "fine-tuned" / "bundle.json").is_file()


def test_the_layers_that_the_fine_tuning_guide_freezes_stay_frozen(tmp_path):
    from seq2lite import zoo

    model = zoo.build("rnn_tiny", vocabulary_size=50, hidden_dim=16, embedding_dim=16)
    names = run("docs/guides/fine-tune.md", "trainable = False", {"model": model})
    count = len(names["model"].trainable_variables)
    model.save(tmp_path / "frozen.keras")
    frozen = keras.saving.load_model(tmp_path / "frozen.keras", compile=False)
    assert 0 < len(frozen.trainable_variables) == count < len(frozen.variables)


def test_the_device_guide_runs_a_bundle(bundle, monkeypatch, capsys):
    from seq2lite import export

    monkeypatch.chdir(bundle.parent)
    page = "docs/guides/run-on-a-device.md"
    names = run(page, "runner.search", {})
    search, best, greedy, beams, sampled = capsys.readouterr().out.splitlines()
    runner = export.load(bundle)
    assert search == str(runner.search) and best == str(runner.generate(["Open File"]))
    assert beams.startswith("[[(") and sampled.startswith("[")
    run(page, "runner.stream", names)
    text = "Open the selected file"
    assert capsys.readouterr().out == runner.generate([text], num_beams=1)[0]
    for containing in ("banned_tokens", "runner.align"):
        run(page, containing, names)
    assert names["alignment"].weights.shape[0] == len(names["alignment"].target)
    capsys.readouterr()
    names = run(page, "np.frombuffer", {})
    assert not names["is_cut"]
    assert str([capsys.readouterr().out.rstrip("\n")]) in (best, greedy)


def test_the_host_loop_of_the_device_guide_equals_generate(bundle, monkeypatch):
    from seq2lite import export

    monkeypatch.chdir(bundle.parent)
    runner = export.load("my-model")
    source = np.array(runner.source_ids(["Open File"]), np.int32)
    generated = []
    start = np.array([2], np.int32)
    names = {"source": source, "start": start, "max_length": 6, "generated": generated}
    step = '.argmax(-1).astype("int32")'
    append = f"{step}\n    generated.append(int(token[0]))"
    run("docs/guides/run-on-a-device.md", "state.pop", names, keep=(step, append))
    tokens, lengths = runner.engine.greedy(source, 6)
    assert generated[: lengths[0]] == tokens[0].tolist()


@pytest.mark.long
def test_the_static_file_of_the_device_guide_is_searched(tiny_model, tokenizer, pairs):
    names = {
        "model": tiny_model,
        "tokenizer": tokenizer,
        "held_out": pairs[:16],
        "source": np.array([[5, 6, 3]], np.int32),
    }
    for containing in ("static.convert", "search.greedy"):
        run("docs/guides/run-on-a-device.md", containing, names, short=("length=64", "length=8"))
    assert names["tokens"].shape[1] <= 8


def test_the_metadata_of_a_file_is_read(bundle, monkeypatch):
    monkeypatch.chdir(bundle.parent)
    run("docs/reference/bundle-format.md", "read_metadata", {})


@pytest.mark.long
def test_the_zoo_page_searches_and_trains():
    source = np.array([[5, 6, 3], [7, 3, 0]])
    names = {"source": source, "np": np, "keras": keras}
    short = ("max_length=64", "max_length=8")
    run("docs/reference/zoo.md", "zoo.greedy_search", names, short=short, small=("12, 1", "1, 1"))
    graph = ('model.compile("adam", loss)', 'model.compile("adam", loss, jit_compile=False)')
    run("docs/reference/zoo.md", "model.compile", names, faster=graph)
    run("docs/reference/zoo.md", "tf.function", names, short=short)
    assert names["scores"].shape == (2, 4)
    assert names["translate"](source)[2].shape == (2, 1)


def test_the_zoo_page_generates_text(tiny_model, tokenizer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"model": float32_twin(tiny_model), "tokenizer": tokenizer}
    run("docs/reference/zoo.md", "model.attach_tokenizer", names)
    assert keras.saving.load_model("model.keras").text.max_source_length == 96


def test_the_family_of_the_architecture_page_steps_as_it_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run("docs/reference/architecture.md", "class BagOfWords", {})
    assert (tmp_path / "bag.tflite").is_file()
    model, source = names["model"], np.array([[5, 6, 3]])
    logits = model({"source": source, "target": np.array([[2, 7]])})
    step, _ = model.decode_step(np.array([2]), model.encode(source))
    np.testing.assert_allclose(step, logits[:, 0], atol=1e-6)


def test_the_mode_and_the_target_of_the_pages_are_entries_of_their_tables(bundle, monkeypatch):
    from seq2lite.export.quantization import modes
    from seq2lite.export.system.isolation import ConversionError
    from seq2lite.export.tflite_file import targets

    mode = run("docs/reference/quantization.md", "Mode(", dict(vars(modes)))["mode"]
    monkeypatch.setitem(modes.MODES, mode.name, mode)
    content, formats = modes.quantize((bundle / "model.tflite").read_bytes(), mode.name)
    assert set(formats.values()) == {"int8", "float16"}
    target = run("docs/reference/architecture.md", "Target(", dict(vars(targets)))["target"]
    monkeypatch.setitem(targets.TARGETS, target.name, target)
    with pytest.raises(ConversionError, match=r"target='my_npu' must have .*WHILE"):
        targets.check_target(content, target.name)


def anchors(page):
    """Anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        # Pages that include the README have its headings.
        headings = anchors(file) if file.suffix == ".md" else set()
        if file.name == "index.md":
            headings |= anchors(ROOT / "README.md")
        assert not anchor or anchor in headings, f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_paths_on_a_page_exist(page):
    roots = "zoo|export|recipes|tests|benchmarks|docs|seq2lite"
    for path in re.findall(rf"`((?:{roots})/[\w./*-]*)", page.read_text("utf-8")):
        assert list(ROOT.glob(path.rstrip("/"))), f"{page.name}: {path}"


def test_the_pages_that_the_code_names_exist():
    for file in (
        file for room in ("zoo", "export", "recipes") for file in ROOT.glob(f"{room}/**/*.py")
    ):
        for path in re.findall(r"docs/[\w/.-]+\.(?:md|svg)", file.read_text("utf-8")):
            assert (ROOT / path).is_file(), f"{file.relative_to(ROOT)}: {path}"


def documented():
    """(name, object) of everything that the API reference lists; of a module, its public names."""
    for page in sorted((ROOT / "docs/reference/api").glob("*.md")):
        for name in re.findall(r"^::: (\S+)", page.read_text("utf-8"), re.MULTILINE):
            parent, _, last = name.rpartition(".")
            module = getattr(importlib.import_module(parent), last, None)
            if module is not None and not inspect.ismodule(module):
                yield name, module
                continue
            module = importlib.import_module(name)
            for key, value in vars(module).items():
                if not key.startswith("_") and getattr(value, "__module__", None) == name:
                    yield f"{name}.{key}", value


def untyped(value):
    """Parameters of a function, or of the public methods of a class, that have no annotation."""
    if isinstance(value, type):
        methods = {key: method for key, method in vars(value).items() if not key.startswith("_")}
        has_own = not (dataclasses.is_dataclass(value) or getattr(value, "_is_protocol", False))
        if "__init__" in vars(value) and has_own:
            methods["__init__"] = value.__init__
        for key, method in methods.items():
            yield from (f"{key}: {parameter}" for parameter in untyped(method))
    elif inspect.isfunction(value):
        signature = inspect.signature(value)
        for parameter in signature.parameters.values():
            if parameter.name != "self" and parameter.annotation is parameter.empty:
                yield parameter.name
        if signature.return_annotation is signature.empty and value.__name__ != "__init__":
            yield "return"


def test_the_api_reference_is_typed():
    found = {name: list(untyped(value)) for name, value in documented()}
    assert len(found) > 60
    assert {name: names for name, names in found.items() if names} == {}


@pytest.mark.parametrize("recipe", [*RECIPES, "demo"])
def test_recipes_are_typed(recipe):
    module = importlib.import_module(f"seq2lite.recipes.{recipe}")
    found = {
        key: list(untyped(value))
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }
    assert {"train", "main", "Config"} <= set(found)
    assert {key: names for key, names in found.items() if names} == {}


def flags(config_class):
    """Flag to default of a recipe's command line."""
    found = {}
    for field in dataclasses.fields(config_class):
        default = getattr(config_class, field.name)
        if dataclasses.is_dataclass(default):
            found |= flags(type(default))
        elif "help" in field.metadata:
            found[f"--{field.name.replace('_', '-')}"] = default
    return found


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_flag_is_documented(recipe):
    page = (ROOT / "docs/reference/recipes.md").read_text("utf-8")
    config_class = importlib.import_module(f"seq2lite.recipes.{recipe}").Config
    for flag in flags(config_class):
        assert f"`{flag}`" in page, flag


def test_every_documented_flag_exists():
    known = {"--overwrite", "--languages", "--no-measure"}
    for recipe in RECIPES:
        known |= set(flags(importlib.import_module(f"seq2lite.recipes.{recipe}").Config))
    page = (ROOT / "docs/reference/recipes.md").read_text("utf-8")
    found = set(re.findall(r"`(--[a-z][a-z-]*)`", page))
    assert found <= known, found - known


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {*RECIPES, "demo", "fetch"}))
def test_the_flags_of_every_other_command_are_documented(command, capsys):
    with pytest.raises(SystemExit):
        main(["help", command])
    printed = capsys.readouterr().out
    flags = set(re.findall(r"^  (--[a-z-]+)", printed, re.MULTILINE))
    assert len(flags) > 5 or command not in ("run", "export")
    page = (ROOT / "docs/reference/commands.md").read_text("utf-8")
    section = page.split(f"\n## {command}\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(--[a-z-]+)`", section, re.MULTILINE)) == flags


def test_every_preset_and_quantization_mode_is_documented():
    from seq2lite import export, zoo

    page = (ROOT / "docs/reference/zoo.md").read_text("utf-8")
    assert all(f"| `{preset}` |" in page for preset in zoo.list_presets())
    page = (ROOT / "docs/reference/quantization.md").read_text("utf-8")
    assert all(f'| `"{mode}"`' in page for mode in export.QUANTIZATIONS)
