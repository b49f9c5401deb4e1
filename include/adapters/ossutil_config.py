"""Keys of OSS as Alibaba's own command line keeps them: ossutil's configuration file."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from include.adapters.connections import OssCredentials
from include.errors import ConfigError
from include.texts import local_path

DEFAULT_PATH = Path("~/.ossutilconfig")
_SECTIONS = ("credentials", "default", "profile default")
"""Where keys stand: ossutil's own name for it first, then those of ossutil 2."""
_NEEDED = {"accesskeyid": "accessKeyID", "accesskeysecret": "accessKeySecret"}


def load(path: Path) -> OssCredentials:
    """Keys and endpoint from a file that ``ossutil config`` wrote; ``~`` is the home folder.

    Reads ``endpoint`` or ``region``, ``accessKeyID``, ``accessKeySecret`` and ``stsToken`` of ``[Credentials]``
    (of ``[default]`` for ossutil 2), in any case and spelling. Other sections and keys are ossutil's business.
    Raises ConfigError, in which no line of the file is shown: it may hold a key.
    """
    path = local_path(path)
    where = str(path)
    values = _values(path)
    found = {name: values.get(name, "") for name in (*_NEEDED, "ststoken", "endpoint", "region")}
    missing = [written for name, written in _NEEDED.items() if not found[name]]
    if not (found["endpoint"] or found["region"]):
        missing.append("endpoint")
    if missing:
        raise ConfigError(f"lacks {', '.join(missing)}", where=where, hint="make it with: ossutil config")
    return OssCredentials.from_extra(
        where,
        {
            "access_key_id": found["accesskeyid"],
            "access_key_secret": found["accesskeysecret"],
            "security_token": found["ststoken"],
            "endpoint": found["endpoint"],
            "region": found["region"],
        },
    )


def _values(path: Path) -> dict[str, str]:
    where = str(path)
    parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="")
    try:
        parser.read_string(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        hint = "make it with: ossutil config, or name another file with --oss_config"
        raise ConfigError("there is no such file with the keys of OSS", where=where, hint=hint) from None
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}", where=where) from None
    except (UnicodeDecodeError, configparser.Error):
        hint = "its keys stand below [Credentials], one <name>=<value> a line"
        raise ConfigError("is not a configuration file of ossutil", where=where, hint=hint) from None
    sections = {name.strip().lower(): parser[name] for name in parser.sections()}
    section = next((sections[name] for name in _SECTIONS if name in sections), None)
    if section is None:
        raise ConfigError("has no section [Credentials]", where=where, hint="make it with: ossutil config")
    return {re.sub(r"[-_]", "", name.lower()): _unquoted(value) for name, value in section.items()}


def _unquoted(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
