"""The names of columns: which of them contain the text, and whether a first row is a header."""

import os
import re
import shlex
from collections.abc import Sequence

from seq2lite.export.runtime.checks import quote

from .text_files import DataError

# Usual names of columns of text, in lower case.
_NAMES = """
    source target src tgt trg input output text texts sentence sentence1 sentence2 translation translated
    original document article highlights summary title headline abstract dialogue context question answer
    query response prompt completion instruction word words spelling phones phonemes pronunciation
    grapheme graphemes phoneme ipa
    chinese danish dutch english finnish french german greek hebrew hindi hungarian indonesian italian
    japanese korean norwegian polish portuguese romanian russian spanish swedish thai turkish ukrainian
    vietnamese
    """
# Languages of ISO 639-1, without `id`, which more often names the number of a row.
_LANGUAGES = """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz
    ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia ie ig ii ik io
    is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn
    mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se
    sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo
    wa wo xh yi yo za zh zu
    """
NAMES, LANGUAGES = frozenset(_NAMES.split()), frozenset(_LANGUAGES.split())
MAX_NAME = 40  # characters


def is_text_name(name: str) -> bool:
    """Return whether a name is a usual one of a column of text.

    Example:
        >>> from seq2lite.recipes.data.column_names import is_text_name
        >>> [name for name in ("Source", "EN", "pt-BR", "id", "It") if is_text_name(name)]
        ['Source', 'EN', 'pt-BR']
    """
    # `It` and `No` are words more often than languages.
    code = name.lower() if name.isupper() else name
    tag = re.fullmatch(r"([a-z]{2})([-_]\w{2,8})*|[a-z]{3}_[A-Z][a-z]{3}", code)
    is_language = tag is not None and (tag[1] is None or tag[1] in LANGUAGES)
    return is_language or name.lower() in NAMES


def is_header(names: Sequence[str], min_count: int) -> bool:
    """Return whether a row is a header: short cells, `min_count` or more of them usual names.

    Of a row with `min_count` cells, all must be usual names.

    Example:
        >>> from seq2lite.recipes.data.column_names import is_header
        >>> is_header(["en", "ko"], 2), is_header(["Open", "ko"], 2), is_header(["id", "en", "ko"], 2)
        (True, False, True)
    """
    are_short = all(len(name) <= MAX_NAME for name in names)
    return are_short and len({name for name in names if is_text_name(name)}) >= min_count


def choose_columns(
    names: Sequence[str], columns: Sequence[str], count: int, path: str | os.PathLike
) -> list[str]:
    """Return the names of the columns to read.

    Args:
        names: Names of all columns.
        columns: Names that the user chose. Default: the only `count` columns, or those with usual
            names.
        count: Number of columns.
        path: The file, for error messages.

    Raises:
        DataError: A chosen name is not exactly one of `names`, or there is no single choice.

    Example:
        >>> from seq2lite.recipes.data.column_names import choose_columns
        >>> choose_columns(["id", "en", "ko"], [], 2, "my.csv")
        ['en', 'ko']
    """
    if columns:
        if wrong := [name for name in columns if names.count(name) != 1]:
            raise DataError(
                f"`columns` must name columns of {path}: {_listed(names)}. Received: {_listed(wrong)}"
            )
        return list(columns)
    usual = [name for name in names if is_text_name(name)]
    for candidates in (list(names), usual):
        if len(candidates) == len(set(candidates)) == count:
            return candidates
    if len(names) < count:
        raise DataError(
            f"{path} must have {count} columns of text. Received: {_listed(names) or 'none'}"
        )
    example = shlex.join((usual if len(usual) > count else list(names))[:count])
    raise DataError(
        f"`columns` must name the columns of {path} to read. Received: none, of the columns "
        f"{_listed(names)}. Try --columns {example}"
    )


def _listed(names):
    return ", ".join(quote(name, MAX_NAME) for name in names)
