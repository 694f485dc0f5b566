"""What a training shows while it runs, and what it stops at."""

import math
import time

import keras
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress(keras.callbacks.Callback):
    """One bar: rounds, batches, loss, tokens a second, time left; and a line for each round.

    Where no terminal is, the lines alone. The bar is there while the `with` statement lasts.

    Args:
        num_batches: Of all of the training.
        first: Number of the batch it goes on with.
        batch_tokens: Tokens of an average batch, for the rate.
    """

    def __init__(self, num_batches, first, batch_tokens):
        super().__init__()
        self.first = first
        self.batch_tokens = batch_tokens
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
        self.done = 0
        self.seconds = 0.0  # of batches alone: scores and checkpoints are not training

    def __enter__(self):
        self.bar.start()

    def __exit__(self, *error):
        # Keras ends no callback of a training that an error or Ctrl-C has ended.
        self.bar.stop()

    def on_epoch_begin(self, epoch, logs=None):
        self.round_started = (self.done, self.seconds)
        self.bar.update(self.task, description=f"round {epoch + 1}")

    def on_train_batch_begin(self, batch, logs=None):
        self.batch_started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.seconds += time.perf_counter() - self.batch_started
        self.done += 1
        self.bar.update(
            self.task,
            completed=self.first + self.done,
            loss=logs["loss"],
            rate=self.batch_tokens * self.done / self.seconds,
        )

    def on_epoch_end(self, epoch, logs=None):
        done, seconds = self.round_started
        rate = self.batch_tokens * (self.done - done) / (self.seconds - seconds)
        measured = "  ".join(f"{name} {value:.3f}" for name, value in logs.items())
        self.bar.console.print(
            f"round {epoch + 1}: {measured}  {rate:,.0f} tokens/s",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


class StopAtNonFinite(keras.callbacks.Callback):
    """Stops at the first batch whose loss is infinite or no number, and names it.

    Args:
        batches: The `Batches` that are trained on.
        first: Number of the batch it begins with.
    """

    def __init__(self, batches, first):
        super().__init__()
        self.batches = batches
        self.number = first

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            if hasattr(self.model, "jax_state_sync"):
                self.model.jax_state_sync()  # during `fit`, JAX's variables hold nothing
            pairs = self.batches.pairs_of(self.number)
            places = [self.batches.pairs.lines[i] for i in pairs[:8]]
            where = "; ".join(map(str, places)) + (f" and {len(pairs) - 8} more" * (len(pairs) > 8))
            if isinstance(places[0], int):
                where = f"lines {where} of {self.batches.pairs.origin}"
            rate = float(self.model.optimizer.learning_rate)
            raise ValueError(
                f"The loss must be finite. Received: {logs['loss']} at batch {self.number}, of {where}, "
                f"at a learning rate of {rate:.2g}. Look at these, or at those of the batch before, whose "
                "gradient may have been infinite; or try a lower --learning-rate, a longer --warmup-steps "
                "or --precision float32"
            )
        self.number += 1
