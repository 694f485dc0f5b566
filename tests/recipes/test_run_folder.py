"""A run's folder: who may have it, and with which options."""

import dataclasses
import json

import pytest

from seq2lite.recipes.run_folder import CHECKPOINTS, RECORD, check_run_folder, open_run
from seq2lite.recipes.training import Training
from seq2lite.recipes.translate import Config


class Stop(Exception):
    """What ends a run in these tests."""


@pytest.fixture
def stopped(tmp_path):
    """The Config of a run that was stopped after a round."""
    config = Config(output=str(tmp_path / "run"))
    with pytest.raises(Stop), open_run(config) as folder:
        (folder / CHECKPOINTS).mkdir()
        (folder / CHECKPOINTS / "round-000001.npz").touch()
        raise Stop
    return config


def test_a_folder_is_one_runs_at_a_time(stopped):
    with open_run(stopped) as folder:
        before = sorted(folder.iterdir())
        for config in (stopped, dataclasses.replace(stopped, overwrite=True)):
            with pytest.raises(
                ValueError, match=r"no other process is at work on. Received: .*run"
            ):
                check_run_folder(config)
        assert sorted(folder.iterdir()) == before
    assert sorted(path.name for path in folder.iterdir()) == ["done", RECORD]


def test_what_has_no_part_in_the_weights_may_change_when_a_run_goes_on(stopped):
    training = Training(finish=True, data_service="grpc://10.0.0.3:5000")
    other = dataclasses.replace(stopped, quantizations=("int4",), training=training)
    with open_run(other) as folder:
        assert (folder / CHECKPOINTS / "round-000001.npz").exists()
        assert json.loads((folder / RECORD).read_text())["quantizations"] == ["int4"]
    assert not (folder / CHECKPOINTS).exists()


def test_what_has_a_part_in_them_may_not(stopped):
    other = dataclasses.replace(stopped, training=Training(ema=0.9, seed=2))
    with pytest.raises(ValueError, match=r"Received: ema=0.9 \(there: 0.0\), seed=2 \(there: 1\)$"):
        check_run_folder(other)


def test_only_a_run_that_has_ended_a_round_can_be_finished(stopped, tmp_path):
    finish = Training(finish=True)
    check_run_folder(dataclasses.replace(stopped, training=finish))
    with pytest.raises(ValueError, match=r"`finish` must find a round .* Received: .*new, which"):
        check_run_folder(Config(output=str(tmp_path / "new"), training=finish))
    assert not (tmp_path / "new").exists()
