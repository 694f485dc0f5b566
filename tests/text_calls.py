"""Calls of the text signatures of a file, as a host makes them."""

import numpy as np


def inputs_of(run, data, **numbers):
    """The inputs of a signature for bytes or ids: padded or cut to its size, with their length."""
    details = run.get_input_details()
    (name,) = details.keys() & {"text", "ids"}
    (size,), dtype = details[name]["shape"], details[name]["dtype"]
    data = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else np.array(data, dtype)
    values = np.zeros(size, dtype)
    values[: len(data)] = data[:size]
    numbers = {"max_length": 0, "length": len(data), **numbers}
    return {name: values} | {
        key: np.array(number, np.int32) for key, number in numbers.items() if key in details
    }


def result_of(outputs, name="text"):
    """The values of a result up to its `length`, also if something was cut."""
    values, lengths = outputs[name], np.maximum(outputs["length"], -1 - outputs["length"])
    if values.ndim > 1:
        return [row[:length] for row, length in zip(values, lengths, strict=True)]
    return values[:lengths]


def translated(run, text, **numbers):
    """The answer of `translate` to a text; a list of answers of `translate_beam`."""
    found = result_of(run(**inputs_of(run, text.encode(), **numbers)))
    if isinstance(found, list):
        return [answer.tobytes().decode() for answer in found]
    return found.tobytes().decode()
