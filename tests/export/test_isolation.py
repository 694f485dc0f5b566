"""Work in a subprocess: its errors, crashes and time-outs reach the caller, and it leaves nothing behind."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from seq2lite import export
from seq2lite.export.conversion.converter import convert
from seq2lite.export.runtime.interpreter import open_interpreter
from seq2lite.export.system import isolation
from seq2lite.export.tflite_file.targets import check_target
from seq2lite.export.verification.probe import probe


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (convert, ("missing",)),  # an OSError
        (open_interpreter, (b"missing", 1, "missing.tflite")),  # a BundleError
        (check_target, (b"", "missing")),  # an error that is not expected
    ],
)
def test_errors_are_the_same_in_this_process_and_in_a_subprocess(function, arguments):
    messages = []
    for run in (isolation.run_isolated, isolation.run_in_subprocess):
        with isolation.in_process(), pytest.raises(export.ConversionError) as error:
            run(function, *arguments, timeout=60)
        messages.append(str(error.value))
    if function is check_target:
        assert all("`check_target` failed:\n" in message for message in messages)
        messages = [message.splitlines()[-1] for message in messages]
    else:
        assert "missing" in messages[0] and "\n" not in messages[0]
    assert messages[0] == messages[1]


def test_arguments_and_results_pass_through_a_subprocess():
    arguments = np.arange(3), {"a": 1.5}
    result = isolation.run_in_subprocess(dict, b=arguments, timeout=60)
    np.testing.assert_array_equal(result["b"][0], arguments[0])
    assert result["b"][1] == arguments[1]


def test_the_subprocess_of_a_probe_has_no_tensorflow(tmp_path):
    code = (
        "import pickle, sys\n"
        "pickle.load(open(sys.argv[1], 'rb'))\n"
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))\n"
    )
    (tmp_path / "function").write_bytes(pickle.dumps(probe))
    command = [sys.executable, "-c", code, tmp_path / "function"]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0


def test_a_time_out_ends_all_that_the_work_has_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('child', 'w').write(str(child.pid))\n"
        "child.wait()\n"
    )
    with pytest.raises(export.ConversionError, match=r"`exec` must end within 3 s\. Received: no"):
        isolation.run_in_subprocess(exec, code, timeout=3)
    child = Path("/proc") / (tmp_path / "child").read_text() / "stat"
    for _ in range(50):
        if not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    raise AssertionError("the child of the work still runs")


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGRTMIN + 2, r"signal \d+")]
)
def test_a_crash_of_the_work_is_named(number, name):
    with pytest.raises(export.ConversionError, match=f"`raise_signal` was ended by {name}:"):
        isolation.run_in_subprocess(signal.raise_signal, int(number), timeout=60)


def test_work_without_a_result_is_named():
    with pytest.raises(
        export.ConversionError, match=r"`exit` must return a result. Received: none"
    ):
        isolation.run_in_subprocess(sys.exit, 0, timeout=60)


def test_a_result_that_cannot_be_written_is_named():
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    )
    with pytest.raises(
        export.ConversionError,
        match=r"^`exec` must return a result\. Received: none, .*The result cannot be written: .*$",
    ) as error:
        isolation.run_in_subprocess(exec, code, timeout=60)
    assert "\n" not in str(error.value)


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session=True)
child.wait()
"""
CHILD = """
import pathlib, pickle, sys, tempfile
from seq2lite.export.system.isolation import work
given = pathlib.Path(tempfile.mkdtemp()) / "given"
code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
given.write_bytes(pickle.dumps((exec, (code,), {})))
sys.argv[1:] = given, "result"
work()
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
    pytest.fail("the child process still runs")
