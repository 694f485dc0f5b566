"""`make demo`, at a size that a test can wait for."""

from types import SimpleNamespace

import pytest

from seq2lite.recipes import demo
from seq2lite.recipes.training.options import Training


def test_the_file_to_try_is_the_best():
    results = {
        family: SimpleNamespace(scores={"held out": {"int8": {"chrF": chrf}}})
        for family, chrf in (("Transformer", 34.75), ("RNN Seq2Seq", 43.94))
    }
    assert demo.best_family(results) == "RNN Seq2Seq"


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:a text of")
def test_a_tiny_family_goes_from_text_to_a_table(pairs, tmp_path, monkeypatch, capsys):
    data = tmp_path / "pairs.tsv"
    data.write_text("".join(f"{a}\t{b}\n" for a, b in pairs), "utf-8")
    held_out = tmp_path / "held-out.tsv"
    held_out.write_text("".join(f"{a}\t{b}\n" for a, b in pairs[:40]), "utf-8")
    tiny = {"preset": "rnn_tiny", "vocabulary_size": 900, "max_length": 32}
    family = {**tiny, "train": (str(data),), "valid": (str(held_out),)}
    monkeypatch.setattr(demo, "FAMILIES", {"Transformer": family})
    monkeypatch.setattr(demo, "TRAINING", Training(epochs=1))
    demo.main(["--output", str(tmp_path / "demo")])
    output = capsys.readouterr().out
    for text in ("chrF", "Keras", "float32 file", "int8 file", "speed-up", "reference"):
        assert text in output
    shown = [source for source, _ in pairs[:40] if source[:12] in output]  # cells wrap
    assert len(shown) >= demo.NUM_SHOWN
    for quantization in ("float32", "int8"):
        assert (tmp_path / "demo" / "rnn_tiny" / quantization / "model.tflite").is_file()
    with pytest.raises(SystemExit):
        demo.main(["--output", str(tmp_path / "demo")])
    assert "rnn_tiny contains a finished run" in capsys.readouterr().err
