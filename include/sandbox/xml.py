"""XML as the two services write and read it."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.sax.saxutils import escape

from include.sandbox.server import ServiceError

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'

__all__ = ["HEAD", "element", "escape", "parse", "text"]


def element(name: str, *content: str, **attributes: str) -> str:
    """``content`` is XML already: escape text first (``text``)."""
    given = "".join(f' {key}="{escape(value, {chr(34): "&quot;"})}"' for key, value in attributes.items())
    return f"<{name}{given}>{''.join(content)}</{name}>" if content else f"<{name}{given}/>"


def text(name: str, value: object) -> str:
    return f"<{name}>{escape(str(value))}</{name}>"


def parse(body: bytes) -> ElementTree.Element:
    """Raises ServiceError (MalformedXML)."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ServiceError(400, "MalformedXML", "The XML you provided must not have a DTD.")
    try:
        return ElementTree.fromstring(body)  # noqa: S314 - entities were refused above
    except ElementTree.ParseError as error:
        raise ServiceError(
            400, "MalformedXML", f"The XML you provided was not well-formed: {error}"
        ) from None
