"""Progress of a training: a line for each evaluation, and the rate of the batches only."""

import pytest

from seq2lite.recipes.training import progress


@pytest.fixture
def clock(monkeypatch):
    """Function that advances the clock by some seconds."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def test_the_rate_excludes_evaluations_and_checkpoints(clock, capsys):
    names = {"val_loss": "held-out loss"}
    shown = progress.Progress(num_batches=4, first=0, batch_tokens=1000, names=names)
    for epoch, seconds in enumerate((2.0, 0.5)):
        shown.on_epoch_begin(epoch)
        for batch in range(2):
            clock(0.25)  # until the batch is there
            shown.on_train_batch_begin(batch)
            clock(seconds)
            shown.on_train_batch_end(batch, {"loss": 3.0})
        clock(100.0)  # scores, a checkpoint
        shown.on_epoch_end(epoch, {"loss": 3.0, "val_loss": 2.5})
    assert capsys.readouterr().out.splitlines() == [
        "evaluation 1: loss 3.000  held-out loss 2.500  500 tokens/s",
        "evaluation 2: loss 3.000  held-out loss 2.500  2,000 tokens/s",
    ]


def test_the_bar_shows_batches_loss_rate_and_remaining_time(clock, monkeypatch):
    class Terminal(progress.Console):
        is_terminal = True

    monkeypatch.setattr(progress, "Console", Terminal)
    shown = progress.Progress(num_batches=10, first=4, batch_tokens=1000)
    with pytest.raises(KeyboardInterrupt), shown:
        shown.on_epoch_begin(1)
        shown.on_train_batch_begin(0)
        clock(2.0)
        shown.on_train_batch_end(0, {"loss": 3.0})
        assert shown.bar.live.is_started
        raise KeyboardInterrupt
    assert not shown.bar.live.is_started  # the terminal has its cursor back
    (task,) = shown.bar.tasks
    text = [
        column.render(task).plain for column in shown.bar.columns if hasattr(column, "text_format")
    ]
    assert text == ["until evaluation 2", "5/10 batches  loss 3.000", "500 tokens/s"]
