"""GNU gettext's .mo files: the texts of a program and their translations."""

import re
import struct


def read_mo(content):
    """(message, translation) of every entry but the header; of plurals one form.

    Args:
        content: Bytes of the file, of either byte order.

    Returns:
        A list of pairs of str, in the file's order.

    Raises:
        ValueError: It is no .mo file, or broken, or its charset is unknown.
    """
    order = {b"\xde\x12\x04\x95": "<", b"\x95\x04\x12\xde": ">"}.get(content[:4])
    if order is None:
        raise ValueError(f"`content` must be a .mo file. Received: {content[:4]!r} at its start")
    try:
        _, _, count, originals, translations = struct.unpack_from(f"{order}5I", content)
        pairs = [
            (_string(content, order, originals, i), _string(content, order, translations, i))
            for i in range(count)
        ]
    except struct.error as error:
        raise ValueError(f"`content` must be a whole .mo file: {error}") from error
    header = next((b.decode("utf-8", "replace") for a, b in pairs if not a), "")
    charset = re.search(r"charset=([\w-]+)", header)
    plurals = re.search(r"nplurals=\s*(\d+)", header)
    one_form = plurals is not None and plurals[1] == "1"
    try:
        charset = charset[1] if charset else "utf-8"
        texts = [(a.decode("utf-8"), b.decode(charset)) for a, b in pairs if a and b]
    except (UnicodeDecodeError, LookupError) as error:
        raise ValueError(f"`content` must be text of the charset it names: {error}") from error
    found = []
    for message, translation in texts:
        forms = message.rpartition("\4")[2].split("\0")  # what stands before is the context
        # A language without plurals says the plural's text; any other first says the singular's.
        found.append((forms[-1] if one_form else forms[0], translation.split("\0")[0]))
    return found


def _string(content, order, table, number):
    length, offset = struct.unpack_from(f"{order}2I", content, table + 8 * number)
    if offset + length > len(content):
        raise struct.error("a text lies outside of it")
    return content[offset : offset + length]
