"""Long texts: split into sentences, whose targets are joined again.

Sentences are found by sentencex (https://github.com/wikimedia/sentencex), the extra `split`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seq2lite.extras import require_extra

from .unicode import STRIPPED, clean

_LINE_BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# The end of a Chinese or Japanese sentence, which no space follows.
_WITHOUT_SPACE = re.compile(
    "[\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff60\U00020000-\U0003ffff]"
    "[\"'\u2019\u201d)]*$"
)


@dataclass(frozen=True)
class SplitText:
    """A text as sentences and the whitespace around them.

    Attributes:
        sentences: The sentences, without whitespace at their ends.
        spaces: Whitespace before each sentence, and after the last one.
    """

    sentences: list[str]
    spaces: list[str]

    def join(self, targets: Sequence[str]) -> str:
        """Join a target for each sentence, with the whitespace of the text around them.

        Line breaks remain. Two targets on a line have a space between them even if the sentences
        have none, but no space follows the end of a Chinese or Japanese sentence.
        """
        if not targets:
            return self.spaces[0]
        first, *between, last = self.spaces
        spaces = [*map(_space_after, targets, between), last]
        return first + "".join(map(str.__add__, targets, spaces))


def by_sentence(
    generate: Callable[[list[str]], list[str]], texts: Sequence[str], language: str | None
) -> list[str]:
    """Generate a target for each text, sentence by sentence. Blank text gives "".

    Args:
        generate: Function from texts to their targets. It is called once, with all sentences.
        texts: Source texts.
        language: Language tag of the texts, or None.
    """
    parts = [split(clean(text), language) for text in texts]
    targets = iter(generate([sentence for part in parts for sentence in part.sentences]))
    return [part.join([next(targets) for _ in part.sentences]) for part in parts]


def split(text: str, language: str | None = None) -> SplitText:
    """Split a text into sentences. Each line is split on its own.

    Args:
        text: The text.
        language: Language tag, such as `"en"`. Default: rules that suit most languages.

    Raises:
        ImportError: sentencex is not installed.

    Example:
        >>> from seq2lite.export.runtime.sentences import split
        >>> parts = split("Is Dr. Smith in? Yes.\\n\\nGood.", "en")
        >>> parts.sentences
        ['Is Dr. Smith in?', 'Yes.', 'Good.']
        >>> parts.join(["A?", "B.", "C."])
        'A? B.\\n\\nC.'
    """
    require_extra("split", "Splitting a text into sentences", "sentencex")
    import sentencex

    sentences, spaces = [], [""]
    for line in text.splitlines(keepends=True):
        for segment in sentencex.segment(language or "en", line):
            sentence = segment.strip(STRIPPED)
            before, after = segment.split(sentence, 1) if sentence else (segment, "")
            spaces[-1] += before
            if sentence:
                sentences.append(sentence)
                spaces.append(after)
    return SplitText(sentences, spaces)


def _space_after(target, space):
    if _LINE_BREAK.search(space):
        return space
    return "" if _WITHOUT_SPACE.search(target) else space or " "
