"""Extension of a tokenizer by subwords and tags of new text; all other ids stay as they are."""

import functools
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from seq2lite.export.runtime.tokenizer import Tokenizer, Tokenizers

from .pairs import Pairs

if TYPE_CHECKING:  # a real import would be a circle
    from ..run.config import RecipeConfig

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # SentencePiece's symbol for a space
MIN_COUNT = 2  # occurrences of a new subword in the text that it is learned from
# A new subword scores this much more for each id that it saves: more than the rounding of the score of
# a long text, and less than the difference between most segmentations.
BONUS = 0.01
_UNKNOWN_PENALTY = 10.0  # of SentencePiece, subtracted from the lowest score
_Piece = ModelProto.SentencePiece


def extend(
    tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer],
    pairs: Pairs,
    config: "RecipeConfig",
    symbols: Tokenizer | None = None,
) -> Tokenizer | tuple[Tokenizer, Tokenizer]:
    """Add the tags and the number of new subwords that a Config asks for; print the result.

    Args:
        tokenizer: A `Tokenizer` for both sides, or one for each side, which is extended by itself.
        pairs: The pairs to train on.
        config: The recipe's Config.
        symbols: Tokenizer whose subwords are those to add. Default: None, they are learned from the
            text.
    """
    count, tags = config.fine_tuning.extend_vocabulary, config.fine_tuning.tags
    if not count and not tags:
        return tokenizer
    sides = Tokenizers.of(tokenizer)
    if sides.are_shared:
        return _extended(
            sides.target, [text for pair in pairs for text in pair], count, tags, symbols
        )
    sources, targets = zip(*pairs, strict=True)
    return (
        _extended(sides.source, sources, count, tags, symbols),
        _extended(sides.target, targets, count, tags, symbols),
    )


def _extended(tokenizer, texts, count, tags, symbols):
    tagged = extend_tokenizer(tokenizer, tags=tags)
    if symbols:
        known = {piece.piece for piece in _proto(tagged).pieces}
        subwords = [p.piece for p in _proto(symbols).pieces if p.piece not in known][:count]
    else:
        subwords = new_subwords(tagged, texts, count, keep=tags) if count else []
    if len(subwords) < count and not symbols:
        print(
            f"warning: only {len(subwords)} of {count} new subwords are added: no others occur "
            f"at least {MIN_COUNT} times in the training text",
            file=sys.stderr,
        )
    extended = extend_tokenizer(tagged, subwords)
    lengths = [sum(map(len, each.encode(texts))) for each in (tokenizer, extended)]
    print(
        f"vocabulary: {tokenizer.vocabulary_size:,} subwords of the base and "
        f"{extended.vocabulary_size - tokenizer.vocabulary_size:,} new ones; the training text has "
        f"{lengths[1]:,} tokens, {1 - lengths[1] / lengths[0]:.1%} fewer",
        flush=True,
    )
    return extended


def new_subwords(
    tokenizer: Tokenizer, texts: Iterable[str], count: int, keep: Collection[str] = ()
) -> list[str]:
    """Find the subwords whose addition to a tokenizer shortens the ids of a text.

    First come characters that the tokenizer lacks. Then the subwords of each word are merged pair by
    pair, the most frequent first (byte pair encoding: Sennrich et al. 2016,
    https://arxiv.org/abs/1508.07909). A new subword lies within a word, and contains letters and
    digits, or no letter at all.

    Args:
        tokenizer: A `Tokenizer` of type unigram or BPE.
        texts: Texts of the new domain.
        count: Maximum number of subwords.
        keep: Subwords that are never merged. Default: none.

    Returns:
        Subwords that occur at least `MIN_COUNT` times, in the order in which they are to be added.

    Example:
        >>> from seq2lite.recipes.data.extension import new_subwords
        >>> new_subwords(tokenizer, ["a zebra", "the zebra", "zebra"], 10)[-1]
        '▁zebra'
    """
    proto = _proto(tokenizer)
    old = {piece.piece for piece in proto.pieces}
    # BPE reaches a subword by merging others. Of a unigram model, those without a use are dropped.
    min_uses = 0 if proto.trainer_spec.model_type == proto.trainer_spec.BPE else MIN_COUNT
    words = _words(tokenizer, texts)
    characters: Counter[str] = Counter()
    for symbols, number in words:
        for symbol in {*symbols} - old:
            characters[symbol] += number * symbols.count(symbol)
    found = [c for c, number in characters.most_common(count) if number >= MIN_COUNT]
    known = (old - {*keep}) | {*found}

    @functools.cache
    def can_merge(pair):
        merged = "".join(pair)
        return known.issuperset(pair) and merged not in old and _is_one_kind(merged)

    pairs: Counter[tuple[str, str]] = Counter()
    places: dict[tuple[str, str], set[int]] = defaultdict(set)
    uses: Counter[str] = Counter()

    def add(index, sign):
        symbols, number = words[index]
        for symbol in symbols:
            uses[symbol] += sign * number
        for pair in filter(can_merge, pairwise(symbols)):
            pairs[pair] += sign * number
            places[pair].add(index)

    for index in range(len(words)):
        add(index, 1)
    useful = found
    while len(useful) < count and pairs and (number := max(pairs.values())) >= MIN_COUNT:
        # Of equal counts the first in the alphabet, so that the order of the texts does not matter.
        pair = min(pair for pair in pairs if pairs[pair] == number)
        merged = "".join(pair)
        if merged not in known:  # merged from another pair before
            known.add(merged)
            found.append(merged)
        for index in places.pop(pair):
            add(index, -1)
            words[index] = (_merged(words[index][0], pair), words[index][1])
            add(index, 1)
        pairs = +pairs  # without those whose count is 0
        useful = [subword for subword in found if uses[subword] >= min_uses]
    return useful


def extend_tokenizer(
    tokenizer: Tokenizer, subwords: Sequence[str] = (), tags: Sequence[str] = ()
) -> Tokenizer:
    """Add subwords and tags to a tokenizer, with the next ids.

    A new subword is used exactly where the tokenizer splits its text as it splits it alone. So text
    without new subwords keeps its ids.

    Args:
        tokenizer: A `Tokenizer` of type unigram or BPE.
        subwords: Subwords, in SentencePiece's form: U+2581 for a space. Those that the tokenizer
            has are ignored. Default: none.
        tags: Subwords that are used wherever their text occurs. Default: none.

    Raises:
        ValueError: The tokenizer is of another type.

    Example:
        >>> from seq2lite.recipes.data.extension import extend_tokenizer
        >>> extended = extend_tokenizer(tokenizer, ["▁zebra"], ["<ko>"])
        >>> [len(each.encode(["<ko> a zebra"])[0]) for each in (tokenizer, extended)]
        [12, 4]
    """
    proto = _proto(tokenizer)
    spec = proto.trainer_spec
    if spec.model_type not in (spec.UNIGRAM, spec.BPE):
        raise ValueError(
            "The tokenizer must be a SentencePiece model of type unigram or BPE to be extended. "
            f"Received: {spec.ModelType.Name(spec.model_type)}"
        )
    scores = [piece.score for piece in proto.pieces if piece.type == _Piece.NORMAL]
    is_unigram, lowest = spec.model_type == spec.UNIGRAM, min(scores)
    known = {piece.piece for piece in proto.pieces}
    for tag in dict.fromkeys(tags):
        if tag not in known:
            # In a unigram model, a score above all others does the same, and runs in exported files.
            kind = _Piece.NORMAL if is_unigram else _Piece.USER_DEFINED
            proto.pieces.add(piece=tag, score=max(0.0, *scores), type=kind)
    new = [subword for subword in dict.fromkeys(subwords) if subword not in known]
    for number, (subword, ids) in enumerate(zip(new, splits(tokenizer, new), strict=True), 1):
        score = lowest - number  # BPE: merged after all others
        if is_unigram:
            score = sum(_score(proto.pieces[i], lowest) for i in ids) + BONUS * (len(ids) - 1)
        proto.pieces.add(piece=subword, score=score)
    proto.trainer_spec.vocab_size = len(proto.pieces)
    return Tokenizer(proto.SerializeToString(), tokenizer.start_id)


def splits(tokenizer: Tokenizer, subwords: Sequence[str]) -> list[list[int]]:
    """Return the ids that a tokenizer splits each subword into.

    Example:
        >>> from seq2lite.recipes.data.extension import splits
        >>> [tokenizer.decode(ids) for ids in [splits(tokenizer, ["\u2581open"])]]
        [['open']]
    """
    proto = _proto(tokenizer)
    proto.normalizer_spec.add_dummy_prefix = False
    proto.normalizer_spec.remove_extra_whitespaces = False
    processor = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    return processor.encode([subword.replace(SPACE, " ") for subword in subwords])


def added_subwords(base: Tokenizer, extended: Tokenizer) -> list[list[int]]:
    """Return the ids that `base` splits each subword into that an extended tokenizer has added.

    Example:
        >>> from seq2lite.recipes.data.extension import added_subwords, extend_tokenizer
        >>> extended = extend_tokenizer(tokenizer, ["\u2581zebra"])
        >>> len(added_subwords(tokenizer, extended))
        1
    """
    added = list(_proto(extended).pieces)[base.vocabulary_size :]
    return splits(base, [piece.piece for piece in added])


def _score(piece, lowest):
    """Return the score of a piece in a segmentation; the first byte stands for its character."""
    if piece.type == _Piece.BYTE:
        is_first = int(piece.piece[3:5], 16) & 0xC0 != 0x80
        return lowest - _UNKNOWN_PENALTY if is_first else 0.0
    return lowest - _UNKNOWN_PENALTY if piece.type == _Piece.UNKNOWN else piece.score


def _words(tokenizer, texts):
    """Return the different words of the texts as lists of subwords, each with its count.

    A character that the tokenizer lacks is one element.
    """
    proto = _proto(tokenizer)
    kinds = {piece.piece: piece.type for piece in proto.pieces}
    is_suffix = proto.trainer_spec.treat_whitespace_as_suffix
    processor = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model_bytes)
    words: Counter[tuple[str, ...]] = Counter()
    for pieces in processor.encode(list(texts), out_type=str):
        word: list[str] = []
        for is_byte, group in groupby(pieces, lambda p: kinds.get(p) == _Piece.BYTE):
            symbols = list(group)
            if is_byte:
                symbols = list(bytes(int(p[3:5], 16) for p in symbols).decode("utf-8", "replace"))
            for symbol in symbols:
                if symbol.startswith(SPACE) and not is_suffix:
                    words[tuple(word)] += 1
                    word = []
                word.append(symbol)
                if is_suffix and symbol.endswith(SPACE):
                    words[tuple(word)] += 1
                    word = []
        words[tuple(word)] += 1
    return [(list(word), number) for word, number in sorted(words.items())]


def _is_one_kind(merged):
    """Return whether a merged subword lies within a word, and is all letters and digits or has none."""
    text = merged.strip(SPACE)
    is_word = all(c.isalnum() or unicodedata.category(c)[0] == "M" for c in text)
    return bool(text) and SPACE not in text and (is_word or not any(map(str.isalpha, text)))


def _merged(symbols, pair):
    """Return the symbols with each occurrence of a pair replaced by one symbol."""
    merged, rest = [], list(symbols)
    while rest:
        width = 2 if tuple(rest[:2]) == pair else 1
        merged.append("".join(rest[:width]))
        del rest[:width]
    return merged


def _proto(tokenizer):
    return ModelProto.FromString(tokenizer.model_bytes)
