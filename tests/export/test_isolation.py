"""Work in a subprocess: its errors, crashes and time-outs reach the caller, and it leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seq2lite import export
from seq2lite.export.system import isolation

MODULES = {
    "conversion.converter": ["missing.tflite", "output"],
    "quantization.second_moments": ["missing.tflite", "calibration.npz", "output"],
    "quantization.mixed": ["missing.tflite", "calibration.npz", "missing.npz", "1", "output"],
    "quantization.observe": ["missing.tflite", "missing.npz", "output"],
    "verification.probe": ["missing.tflite", "missing.npz", "output"],
    "measurement.memory": ["missing.tflite", "missing.npz", "output", "read"],
    "measurement.profile": ["missing.tflite", "missing.npz", "output"],
    "measurement.speed": ["missing.tflite", "missing.npz", "output"],
}


@pytest.mark.parametrize("module", MODULES)
def test_errors_are_the_same_in_this_process_and_in_a_subprocess(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    messages = []
    for run in (isolation.run_isolated, isolation.run_in_subprocess):
        with isolation.in_process(), pytest.raises(export.ConversionError) as error:
            run(module, *MODULES[module], timeout=60)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "missing" in messages[0] and "\n" not in messages[0]


def test_an_unexpected_error_in_this_process_is_a_conversion_error_too(tmp_path):
    with (
        isolation.in_process(),
        pytest.raises(export.ConversionError, match=r"failed:\n[^!]*TypeError"),
    ):
        isolation.run_isolated("verification.probe", timeout=1)


@pytest.fixture
def isolated(tmp_path, monkeypatch):
    """Run source code as a module of the package."""

    def run(code, timeout=60):
        (tmp_path / "package").mkdir()
        (tmp_path / "package" / "work.py").write_text(code)
        isolation.run_in_subprocess("work", timeout=timeout)

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(isolation, "PACKAGE", "package")
    return run


def test_a_time_out_ends_all_that_the_work_has_started(isolated, tmp_path):
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('child', 'w').write(str(child.pid))\n"
        "child.wait()\n"
    )
    with pytest.raises(export.ConversionError, match=r"work must end within 3 s\. Received: no"):
        isolated(code, timeout=3)
    child = Path("/proc") / (tmp_path / "child").read_text() / "stat"
    for _ in range(50):
        if not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    raise AssertionError("the child of the work still runs")


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGRTMIN + 2, r"signal \d+")]
)
def test_a_crash_of_the_work_is_named(isolated, number, name):
    with pytest.raises(export.ConversionError, match=f"work was ended by {name}:"):
        isolated(f"import os; os.kill(os.getpid(), {int(number)})")


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session=True)
child.wait()
"""
CHILD = """
import os, time
from seq2lite.export.system.isolation import run_main
def main(*_):
    print(os.getpid(), flush=True)
    time.sleep(60)
run_main(main)
"""


def test_the_work_ends_with_the_process_that_started_it():
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True
    ) as parent:
        child = int(parent.stdout.readline())
        os.kill(child, 0)  # it is there
        parent.kill()
    for _ in range(100):
        try:
            if Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
                return  # it ended, as a zombie without a parent to wait for it
        except FileNotFoundError:
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("it goes on")
