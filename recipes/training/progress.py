"""Progress of a training: a bar, and a line for each evaluation."""

import math
import time
from collections.abc import Mapping
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress(keras.callbacks.Callback):
    """Show batches, loss, tokens per second and remaining time; print a line for each evaluation.

    Without a terminal it prints only the lines. The bar is visible for the time of a `with`.

    Args:
        num_batches: Number of batches of the whole training.
        first: Number of the first batch.
        batch_tokens: Average number of tokens in a batch, for the rate.
        names: Names to print of the measures of an evaluation, by their keys. Default: the keys.
    """

    def __init__(
        self,
        num_batches: int,
        first: int,
        batch_tokens: float,
        names: Mapping[str, str] | None = None,
    ):
        super().__init__()
        self.first = first
        self.batch_tokens = batch_tokens
        self.names = names or {}
        console = Console()
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} batches  loss {task.fields[loss]:.3f}"),
            TextColumn("{task.fields[rate]:,.0f} tokens/s"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task(
            "training", total=num_batches, completed=first, loss=math.nan, rate=math.nan
        )
        self.num_done = 0
        self.seconds = 0.0  # of batches only, without evaluations and checkpoints

    def __enter__(self):
        self.bar.start()

    def __exit__(self, *error):
        # Keras does not call `on_train_end` after an error or Ctrl-C.
        self.bar.stop()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.interval_start = (self.num_done, self.seconds)
        self.bar.update(self.task, description=f"until evaluation {epoch + 1}")

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.batch_start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seconds += time.perf_counter() - self.batch_start
        self.num_done += 1
        self.bar.update(
            self.task,
            completed=self.first + self.num_done,
            loss=logs["loss"],
            rate=self.batch_tokens * self.num_done / self.seconds,
        )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        num_done, seconds = self.interval_start
        rate = self.batch_tokens * (self.num_done - num_done) / (self.seconds - seconds)
        measured = "  ".join(f"{self.names.get(n, n)} {value:.3f}" for n, value in logs.items())
        self.bar.console.print(
            f"evaluation {epoch + 1}: {measured}  {rate:,.0f} tokens/s",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
