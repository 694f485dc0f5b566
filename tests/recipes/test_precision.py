"""The setting that trains fastest, chosen by what the machine has."""

import pytest

from seq2lite.recipes import precision
from seq2lite.recipes.precision import fastest_setting, multiplies_bfloat16


@pytest.fixture
def machine(monkeypatch):
    """Sets what the machine is said to have."""

    def has(gpu=None, bfloat16=False):
        monkeypatch.setattr(precision, "gpu_capability", lambda: gpu)
        monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: bfloat16)

    return has


def test_a_processor_that_multiplies_bfloat16_does_without_xla(machine):
    machine(bfloat16=True)
    for family in precision.FAMILIES:
        for few_shapes in (False, True):
            assert fastest_setting(family, few_shapes) == ("mixed_bfloat16", False)


def test_xla_is_for_transformers_of_few_shapes_on_other_processors(machine):
    machine(bfloat16=False)
    assert fastest_setting("transformer", few_shapes=True) == ("float32", True)
    assert fastest_setting("transformer") == ("float32", False)
    assert fastest_setting("rnn_seq2seq", few_shapes=True) == ("float32", False)


@pytest.mark.parametrize(
    ("capability", "policy"),
    [((6, 1), "float32"), ((7, 5), "mixed_float16"), ((8, 0), "mixed_bfloat16")],
)
def test_a_gpu_gets_what_its_tensor_cores_multiply(machine, capability, policy):
    machine(gpu=capability)
    assert fastest_setting("transformer")[0] == policy


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx2", False), ("avx512f avx512_bf16 fsrm", True), ("amx_bf16 amx_tile", True)],
)
def test_the_processor_is_asked_for_its_flags(tmp_path, monkeypatch, flags, expected):
    monkeypatch.setattr(precision.platform, "machine", lambda: "x86_64")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: amx_bf16\n")
    assert multiplies_bfloat16(path) is expected
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert multiplies_bfloat16(path) is False


def test_where_the_system_says_nothing_it_is_float32(tmp_path):
    assert multiplies_bfloat16(tmp_path / "none") is False


def test_a_wrong_family_is_named():
    with pytest.raises(ValueError, match=r"`family` must be one of .* Received: 'rnn'"):
        fastest_setting("rnn")
