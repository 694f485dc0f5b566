"""The console command `seq2lite`: dispatch, help, lists, copies, and missing extras."""

import os
import resource
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from seq2lite import here
from seq2lite.__main__ import main
from seq2lite.commands.list import modes, presets
from seq2lite.commands.table import COMMANDS, RECIPES, source_of, summary


def command(*arguments):
    """Run `python -m seq2lite`; its standard error ends with the names of the heavy modules."""
    code = (
        "import sys; from seq2lite.__main__ import main; status = main(sys.argv[1:]);"
        "print(*sorted({'tensorflow', 'keras', 'ai_edge_litert'} & {*sys.modules}), file=sys.stderr);"
        "sys.exit(status)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--help"], 0), ([], 0), (["--version"], 0), (["list"], 0), (["lst"], 2)],
)
def test_help_lists_and_misspellings_answer_at_once_and_import_nothing_heavy(arguments, status):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = command(*arguments)
    # 0.2 s; CPU time, because other processes may delay this one.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 1
    assert done.returncode == status
    assert done.stderr.splitlines()[-1] == ""


def test_a_misspelled_command_is_answered_with_the_nearest_one(capsys):
    assert main(["tranzlate"]) == 2
    assert "Received: tranzlate. Did you mean translate?" in capsys.readouterr().err
    assert main(["xyzzy"]) == 2
    assert "Received: xyzzy. `seq2lite --help`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--hlp"], "unrecognized arguments: --hlp. Did you mean --help?"),
        (
            ["run", "--num-beam=2"],
            "unrecognized arguments: --num-beam=2. Did you mean --num-beams?",
        ),
        (["run"], "arguments are required: bundle. "),
        (["run", "my-model", "-x"], "unrecognized arguments: -x. Write `--` before texts"),
        (["run", "my-model", "--banned-tokens", "a"], "--banned-tokens"),
        (["cp", "translat", "my.py"], "Did you mean translate? "),
        (["list", "-x"], "unrecognized arguments: -x. `seq2lite list --help` lists all flags"),
    ],
)
def test_a_wrong_argument_is_answered_with_advice(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_help_with_a_command_is_its_help(capsys):
    printed = []
    for arguments in (["help", "run"], ["run", "--help"]):
        with pytest.raises(SystemExit):
            main(arguments)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] and "--num-beams" in printed[0]
    assert main(["help"]) == 0


@pytest.mark.parametrize(
    "code", ["import seq2lite.export.runtime.load, seq2lite.recipes.options", ""]
)
def test_the_root_of_a_clone_contains_the_whole_package(code):
    """Python imports the folder `seq2lite` from it, whatever is installed."""
    outside = {"PYTHONPATH", "PYTHONSAFEPATH"}
    environment = {name: value for name, value in os.environ.items() if name not in outside}
    done = subprocess.run(
        # Without `site`, which would add an editable installation.
        [sys.executable, "-S", *(["-c", code] if code else ["-m", "seq2lite", "list"])],
        cwd=Path(__file__).parent.parent,
        env={**environment, "PYTHONPATH": sysconfig.get_path("purelib")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert code or "rnn_tiny" in done.stdout


@pytest.mark.parametrize(
    ("before", "printed"),
    [
        ("pass", "kept \\xff\n"),
        ("tempfile.tempdir = '/nowhere'", "I0000 1 dropped\nkept \\xff\n"),
        ("os.close(2); sys.stderr = None", ""),
    ],
)
def test_log_lines_are_dropped_and_nothing_else(before, printed):
    """Neither a closed standard error nor an unwritable temporary folder stops the command."""
    code = (
        f"import os, sys, tempfile; from seq2lite.logs import without_startup_logs; {before}\n"
        "with without_startup_logs():\n"
        "    if sys.stderr: os.write(2, b'I0000 1 dropped\\nkept \\xff\\n')\n"
        "print('ok')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"ok\n"), done.stderr
    assert done.stderr.decode(errors="backslashreplace") == printed


def test_without_standard_error_no_message_stands_among_the_targets(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["run", "nowhere", "x"]) == 1
    assert capsys.readouterr().out == ""


def test_the_help_describes_every_command(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for name, module in COMMANDS.items():
        assert f"\n  {name} " in printed and summary(module) in printed


def test_every_command_has_a_function_main():
    for module in COMMANDS.values():
        assert "\ndef main(" in source_of(module)


def test_the_list_has_every_recipe_preset_and_quantization_mode(capsys):
    from seq2lite import export, zoo

    assert main(["list"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert [line[0] for line in lines] == [*RECIPES, *zoo.list_presets(), *export.QUANTIZATIONS]
    assert all(len(line) > 1 for line in lines)
    assert [name for name, _ in presets()] == zoo.list_presets()
    assert dict(modes())["int8_static"] == "int8, one scale per row; static shapes"


@pytest.mark.parametrize("name", RECIPES)
def test_a_copy_is_the_recipe_and_nothing_is_overwritten(name, tmp_path, capsys):
    path = tmp_path / "my.py"
    assert main(["cp", name, str(path)]) == 0
    before = path.read_text("utf-8")
    assert before == source_of(f"seq2lite.recipes.{name}")
    assert main(["cp", name, str(path)]) == 1
    assert "`path` must not exist" in capsys.readouterr().err
    assert path.read_text("utf-8") == before


def test_the_help_of_a_recipe_prints_no_log_lines():
    done = subprocess.run(
        [sys.executable, "-m", "seq2lite", "translate", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"},
    )
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("usage: seq2lite translate ") and "--epochs" in done.stdout


HIDDEN = "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'keras']));"


@pytest.mark.parametrize(
    "code",
    [
        "import seq2lite.zoo",
        "from seq2lite.zoo.rnn.model import RNNSeq2Seq",
        "from seq2lite.recipes.translate import train",
        "from seq2lite.export import to_bundle",
        "from seq2lite.export import static",
        "from seq2lite.export.bundle import to_bundle",
        "from seq2lite.__main__ import main; sys.exit(main(['translate']))",
        "from seq2lite.__main__ import main; sys.exit(main(['demo', '--help']))",
        "from seq2lite.__main__ import main; sys.exit(main(['export', 'runs/mine']))",
    ],
)
def test_without_tensorflow_the_command_that_installs_it_is_named(code):
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "80"},
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert "not installed. Install the extra `train`: pip install 'seq2lite[train]'" in last
    if "main" in code:
        assert done.stderr.count("\n") == 1


def test_the_runner_and_its_commands_need_no_extra(tmp_path):
    code = HIDDEN + (
        "sys.modules.update(dict.fromkeys(['rich', 'matplotlib', 'sacrebleu', 'scipy']));"
        "import seq2lite.export, seq2lite.commands.run, seq2lite.commands.check, seq2lite.commands.info"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("has_script", [True, False])
@pytest.mark.parametrize("is_active", [True, False])
def test_a_printed_command_can_be_pasted(has_script, is_active, tmp_path, monkeypatch):
    """It starts this environment, active or not, from the folder of the process."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "seq2lite") if has_script else ("python",):
        (folder / name).touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(here.sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", str(folder) if is_active else "")
    prefix = "" if is_active else ".venv/bin/"
    start = f"{prefix}seq2lite" if has_script else f"{prefix}python -m seq2lite"
    assert here.seq2lite_here("run", "a b") == f"{start} run 'a b'"
    assert here.python_here("my.py") == f"{prefix}python my.py"
    monkeypatch.chdir(folder)
    assert here.python_here("my.py") == f"{'' if is_active else './'}python my.py"
