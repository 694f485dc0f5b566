"""Questions and answers in SQuAD's JSON format."""

import json
import os
import re
import typing
import warnings

from seq2lite.export.runtime.checks import quote
from seq2lite.export.runtime.unicode import STRIPPED, clean

from .text_files import DataError, read_text

MAX_SHOWN = 3  # misplaced answers that the warning names


class Example(typing.NamedTuple):
    """A question about a context, with its answer.

    Attributes:
        context: A paragraph of text.
        answer: A span of the context.
        start: Index of the span: `context[start:]` begins with `answer`.
        question: The question.
        place: Location in the file, such as
            `squad.json: data[0].paragraphs[2].qas[0].answers[0]`.
    """

    context: str
    answer: str
    start: int
    question: str
    place: str


def read_squad(path: str | os.PathLike) -> list[Example]:
    """Read examples from a JSON file in SQuAD's format, version 1.1 or 2.0.

    Each answer of a question gives an example; equal examples count once. Questions marked
    impossible are ignored. Texts are cleaned. Answers that do not stand at
    their `answer_start` are dropped, with a warning that counts them and names the first.

    Args:
        path: The file; it is decompressed if its name ends in .gz.

    Returns:
        The examples, in the order of the file.

    Raises:
        DataError: The file is missing or not JSON; a key is missing or has a value of the wrong
            type; or no answer stands at its `answer_start`. The message names the place.

    Example:
        >>> from seq2lite.recipes.data.samples import FAQ_VALID
        >>> from seq2lite.recipes.data.squad import read_squad
        >>> example = read_squad(FAQ_VALID)[0]
        >>> example.context[example.start :].startswith(example.answer)
        True
    """
    try:
        content = json.loads(read_text(path))
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} must be JSON. Received: {error}") from error
    examples: dict[tuple[str, str, int, str], str] = {}
    misplaced = []
    for place, context, question, answer in _answers(path, content):
        text, start = _take(answer, "text", str, place), _take(answer, "answer_start", int, place)
        if not clean(text) or start < 0 or context[start : start + len(text)] != text:
            misplaced.append(f"{place} ({quote(text, 40)} at {start})")
            continue
        # Cleaning shortens the text before the answer, and with it the start.
        start += len(text) - len(text.lstrip(STRIPPED))
        before = clean(f"{context[:start]}|")[:-1]
        context, text, question = map(clean, (context, text, question))
        examples.setdefault((context, text, len(before), question), place)
    if not examples:
        received = f"{len(misplaced)} misplaced answers" if misplaced else "no answers"
        raise DataError(
            f"{path} must contain answers that stand in their contexts at `answer_start`. "
            f"Received: {received}"
        )
    if misplaced:
        warnings.warn(
            f"{path}: {len(misplaced):,} answers are dropped, because they do not stand at their "
            f"answer_start: {', '.join(misplaced[:MAX_SHOWN])}"
            + (", …" if len(misplaced) > MAX_SHOWN else ""),
            stacklevel=2,
        )
    return [Example(*example, place) for example, place in examples.items()]


def _answers(path, content):
    """Yield (place, context, question, answer) for each answer of a possible question."""
    for article, at_article in _items(content, "data", path, separator=": "):
        for paragraph, at_paragraph in _items(article, "paragraphs", at_article):
            context = _take(paragraph, "context", str, at_paragraph)
            for qa, at_question in _items(paragraph, "qas", at_paragraph):
                question = _take(qa, "question", str, at_question)
                if not clean(question):
                    raise DataError(f"{at_question}: `question` must not be empty")
                if not qa.get("is_impossible", False):
                    for answer, at_answer in _items(qa, "answers", at_question):
                        yield at_answer, context, question, answer


def _items(holder, key, place, separator="."):
    """Yield each item of the list `holder[key]`, and its place."""
    for i, item in enumerate(_take(holder, key, list, place)):
        yield item, f"{place}{separator}{key}[{i}]"


def _take(holder, key, kind, place):
    """Return `holder[key]`, which must be of type `kind`."""
    if not isinstance(holder, dict) or key not in holder:
        received = ", ".join(holder) if isinstance(holder, dict) else type(holder).__name__
        raise DataError(f"{place}: the key `{key}` must exist. Received: {received or 'no keys'}")
    value = holder[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        names = {str: "a string", int: "an integer", list: "a list"}
        raise DataError(f"{place}: `{key}` must be {names[kind]}. Received: {quote(value)}")
    # A JSON escape can name half of a surrogate pair, which is no character.
    if kind is str and (bad := re.search("[\0\ud800-\udfff]", value)):
        name = "a NUL" if bad[0] == "\0" else "half a surrogate pair"
        raise DataError(f"{place}: `{key}` must not contain {name}. Received: {quote(value)}")
    return value
