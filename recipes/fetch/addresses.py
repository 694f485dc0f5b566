"""Addresses of mirrors and package indices: validated, and shown without their passwords."""

import re
import urllib.parse

from .errors import FetchError


def require_address(name: str, address: str) -> None:
    """Check that an option is an address to download from.

    Args:
        name: Str, name of the option.
        address: Str, its value.

    Raises:
        FetchError: It is no `https://`, `http://` or `file://` address, or its password contains
            a reserved character. The message does not contain the password.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        parts.port  # noqa: B018  # raises an error where the port is not a number
        # A password with an unencoded "/" or "#" leaves its "@" behind the host.
        is_valid = parts.hostname and "@" not in parts.path + parts.query + parts.fragment
        is_valid = parts.scheme == "file" or (parts.scheme in ("https", "http") and is_valid)
    except ValueError:
        is_valid = False
    if is_valid:
        return
    hint = ", with each of /?#[]@ in its user and password percent-encoded" * ("@" in address)
    received = hide_credentials(address)
    if "@" in received:
        received = "an address with an @ that does not precede its host"
    raise FetchError(f"`{name}` must be an https:// address{hint}. Received: {received}")


def hide_credentials(address: str) -> str:
    """Remove `user:password@` from an address, valid or not.

    Example:
        >>> from seq2lite.recipes.fetch.addresses import hide_credentials
        >>> hide_credentials("https://me:secret@host/simple")
        'https://host/simple'
    """
    return re.sub(r"(^|//)[^/]*@", r"\1", address, count=1)


def split_credentials(address: str) -> tuple[str, tuple[bytes, bytes] | None]:
    """Separate a valid address from the credentials in it.

    Returns:
        The address without credentials, and `(user, password)` or None.

    Example:
        >>> from seq2lite.recipes.fetch.addresses import split_credentials
        >>> split_credentials("https://me:s%40cret@host/simple")
        ('https://host/simple', (b'me', b's@cret'))
    """
    credentials, at, _ = urllib.parse.urlsplit(address).netloc.rpartition("@")
    if not at:
        return address, None
    user, _, password = credentials.partition(":")
    decode = urllib.parse.unquote_to_bytes
    return hide_credentials(address), (decode(user), decode(password))
