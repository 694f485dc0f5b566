"""Questions and answers in SQuAD's format: what question generation trains on."""

import json
import re
import unicodedata
import warnings
from collections import namedtuple

from .text_files import DataError, read_content

Example = namedtuple("Example", ["context", "answer", "start", "question", "place"])


MAX_SHOWN = 3  # of the answers that are not where they should be


def read_squad(path):
    """Reads contexts, answers and questions from a JSON file in SQuAD's format, version 1.1 or 2.0.

    Every answer of a question is an example; equal ones count once. A question marked impossible
    has none. Text comes in NFC. An answer that is not at its `answer_start` is dropped; how many
    were, and where the first stand, is a warning.

    Args:
        path: The file; gzip if its name ends in .gz.

    Returns:
        A list of named tuples (context, answer, start, question, place): `context[start:]` begins with
        the answer; the place, such as `squad.json: data[0].paragraphs[2].qas[0].answers[0]`, is where it stands.

    Raises:
        DataError: The file is missing or no JSON, a key is missing or holds the wrong thing (the
            message names the place), or no answer is where it should be.

    Example:
        >>> from seq2lite.recipes.data.samples import FAQ_VALID
        >>> from seq2lite.recipes.data.squad import read_squad
        >>> example = read_squad(FAQ_VALID)[0]
        >>> example.context[example.start :].startswith(example.answer)
        True
    """
    try:
        whole = json.loads(read_content(path).decode())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} must be JSON in UTF-8: {error}") from error
    examples, misplaced = {}, []
    for place, context, question, answer in _walk(path, whole):
        text, start = _take(answer, "text", str, place), _take(answer, "answer_start", int, place)
        if not text.strip() or start < 0 or context[start : start + len(text)] != text:
            misplaced.append(f"{place} ({text!r:.40} at {start})")
            continue
        # The start moves with what NFC and the strip take away before it.
        start += len(text) - len(text.lstrip())
        before = unicodedata.normalize("NFC", context[:start]).lstrip()
        columns = [unicodedata.normalize("NFC", c).strip() for c in (context, text, question)]
        examples.setdefault((columns[0], columns[1], len(before), columns[2]), place)
    if not examples:
        what = f"none of {len(misplaced)} is" if misplaced else "no answers"
        raise DataError(f"{path} must hold answers that stand in their contexts. Received: {what}")
    if misplaced:
        warnings.warn(
            f"{path}: {len(misplaced):,} answers are not at their answer_start and are dropped: "
            + ", ".join(misplaced[:MAX_SHOWN])
            + (", …" if len(misplaced) > MAX_SHOWN else ""),
            stacklevel=2,
        )
    return [Example(*example, place) for example, place in examples.items()]


def _walk(path, whole):
    """(place, context, question, answer) of every answer; a place is like `data[0].paragraphs[2]`."""
    articles = _take(whole, "data", list, f"{path}")
    for article, at in _each(articles, f"{path}: data"):
        for paragraph, at_paragraph in _each(
            _take(article, "paragraphs", list, at), f"{at}.paragraphs"
        ):
            context = _take(paragraph, "context", str, at_paragraph)
            for qa, place in _each(
                _take(paragraph, "qas", list, at_paragraph), f"{at_paragraph}.qas"
            ):
                question = _take(qa, "question", str, place)
                if not question.strip():
                    raise DataError(f"{place}: `question` must not be empty")
                if qa.get("is_impossible", False):
                    continue
                for answer, where in _each(_take(qa, "answers", list, place), f"{place}.answers"):
                    yield where, context, question, answer


def _each(items, place):
    return ((item, f"{place}[{i}]") for i, item in enumerate(items))


def _take(holder, key, kind, place):
    if not isinstance(holder, dict) or key not in holder:
        received = ", ".join(holder) if isinstance(holder, dict) else type(holder).__name__
        raise DataError(f"{place}: must have the key `{key}`. Received: {received or 'no keys'}")
    value = holder[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        names = {str: "a string", int: "a whole number", list: "a list"}
        raise DataError(f"{place}: `{key}` must be {names[kind]}. Received: {value!r:.60}")
    # JSON can name what is no character: half of a pair of surrogates.
    if kind is str and (bad := re.search("[\0\ud800-\udfff]", value)):
        name = "a NUL" if bad[0] == "\0" else "half a surrogate pair"
        raise DataError(f"{place}: `{key}` must not hold {name}. Received: {value!r:.60}")
    return value
