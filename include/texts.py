"""Text that comes from outside, from users' files and from OSS: what is none is one ConfigError that says where."""

from __future__ import annotations

from pathlib import Path

from include.errors import ConfigError


def utf8(data: bytes, where: str, *, hint: str = "") -> str:
    """``data`` as text, byte for byte. Raises ConfigError with the place of the first byte that is no UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text (byte {error.start})", where=where, hint=hint) from None


def local_path(location: str | Path) -> Path:
    """``~`` is the home folder. Raises ConfigError for what names no file: a zero byte in it, nobody's home."""
    if "\0" in str(location):
        raise ConfigError("a path can't hold a zero byte", where=repr(str(location)))
    try:
        return Path(location).expanduser()
    except RuntimeError as error:
        raise ConfigError("there is no such home folder", where=str(location)) from error


def file_bytes(path: Path) -> bytes:
    """What is in a file of this machine. Raises ConfigError when it can't be read."""
    try:
        return local_path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}", where=str(path)) from error


def file_text(path: Path) -> str:
    r"""The text of a file, without a byte order mark, its lines ended by ``\n``. Raises ConfigError."""
    text = utf8(file_bytes(path), str(path), hint="save the file as UTF-8").removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n")
