"""Timing of alternatives in alternating turns.

The load of the machine changes during a benchmark. Alternatives that take turns are slowed down
equally, so their ratio stays comparable.
"""

import sys
import time


def alternating_times(calls, inputs, warmup=1):
    """Time every call once per turn.

    Args:
        calls: dict of name to function.
        inputs: list with one tuple of arguments per turn. All functions of a turn get the same.
        warmup: int, default 1. Number of untimed turns before the first, with the first arguments.
            The first call of a `tf.function` compiles it.

    Returns:
        Dict of name to a list of seconds, one number per turn.
    """
    seconds = {name: [] for name in calls}
    for turn, arguments in enumerate([*inputs[:1] * warmup, *inputs]):
        for name, call in calls.items():
            start = time.perf_counter()
            call(*arguments)
            if turn >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def serve_steps(num_parameters, step):
    """Run `step` on request of the parent process, and print how long it took.

    Each line on standard input is a request. The first is answered with `num_parameters`, every
    other one with the seconds of one step. Two untimed steps run before.
    """
    for _ in range(2):
        step()
    sys.stdin.readline()
    print(num_parameters, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, flush=True)
