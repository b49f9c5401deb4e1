"""Keys of MaxCompute as Alibaba's own command line keeps them: odpscmd's configuration file."""

from __future__ import annotations

from pathlib import Path

from include.adapters.connections import MaxComputeCredentials
from include.errors import ConfigError
from include.texts import local_path

DEFAULT_PATH = Path("~/.odpscmd/odps_config.ini")
_NEEDED = ("access_id", "access_key", "end_point", "project_name")
_HINT = "it holds lines <name>=<value>: access_id, access_key, end_point, project_name"


def load(path: Path) -> MaxComputeCredentials:
    """Keys, project and endpoint from the file that odpscmd reads; ``~`` is the home folder.

    Reads ``access_id``, ``access_key``, ``end_point``, ``project_name`` and ``sts_token``; other lines are
    odpscmd's business. Raises ConfigError, in which no line of the file is shown: it may hold a key.
    """
    path = local_path(path)
    where = str(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        hint = "the one of odpscmd, or name another file with --odps_config"
        raise ConfigError(
            "there is no such file with the keys of MaxCompute", where=where, hint=hint
        ) from None
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}", where=where) from None
    except UnicodeDecodeError:
        raise ConfigError("is not a configuration file of odpscmd", where=where, hint=_HINT) from None
    lines = [line.strip().partition("=") for line in text.splitlines()]
    values = {name.strip(): value.strip() for name, _, value in lines if not name.startswith("#")}
    missing = [name for name in _NEEDED if not values.get(name)]
    if missing:
        raise ConfigError(f"lacks {', '.join(missing)}", where=where, hint=_HINT)
    return MaxComputeCredentials.from_extra(
        where,
        {
            "access_key_id": values["access_id"],
            "access_key_secret": values["access_key"],
            "security_token": values.get("sts_token", ""),
            "project": values["project_name"],
            "endpoint": values["end_point"],
        },
    )
