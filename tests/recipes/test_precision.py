"""The compute dtype that trains fastest on a machine."""

import pytest

from seq2lite.recipes.distributed import precision
from seq2lite.recipes.distributed.precision import choose_precision, multiplies_bfloat16


@pytest.fixture
def machine(monkeypatch):
    """Function that replaces what the machine has."""

    def has(gpu=None, bfloat16=False):
        monkeypatch.setattr(precision, "gpu_capability", lambda: gpu)
        monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: bfloat16)

    return has


@pytest.mark.parametrize(("bfloat16", "policy"), [(True, "mixed_bfloat16"), (False, "float32")])
def test_a_processor_gets_bfloat16_where_it_multiplies_it(machine, bfloat16, policy):
    machine(bfloat16=bfloat16)
    assert choose_precision() == policy


def test_xla_on_a_processor_gains_nothing_by_bfloat16(machine, monkeypatch):
    machine(bfloat16=True)
    monkeypatch.setattr(precision.keras.backend, "backend", lambda: "jax")
    assert choose_precision() == "float32"


def test_a_given_precision_is_used(machine):
    machine(bfloat16=True)
    assert choose_precision("float32") == "float32"


@pytest.mark.parametrize(
    ("capability", "policy"),
    [((6, 1), "float32"), ((7, 5), "mixed_float16"), ((8, 0), "mixed_bfloat16")],
)
def test_a_gpu_gets_the_dtype_that_its_tensor_cores_multiply(machine, capability, policy):
    machine(gpu=capability)
    assert choose_precision() == policy


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx2", False), ("avx512f avx512_bf16 fsrm", True), ("amx_bf16 amx_tile", True)],
)
def test_the_flags_of_the_processor_are_read(tmp_path, monkeypatch, flags, expected):
    monkeypatch.setattr(precision.platform, "machine", lambda: "x86_64")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: amx_bf16\n")
    assert multiplies_bfloat16(path) is expected
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert multiplies_bfloat16(path) is False


def test_without_a_list_of_processor_flags_it_is_float32(tmp_path):
    assert multiplies_bfloat16(tmp_path / "none") is False
