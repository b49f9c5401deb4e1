"""Where the page lies. Airflow itself may lie below a path of its server: then the page lies there, too."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

PREFIX = "/easyrec"
"""Below Airflow's own address."""


def airflow_url() -> SplitResult:
    """``[api] base_url``: how people reach Airflow, also behind a proxy; empty when it isn't set."""
    from airflow.sdk.configuration import conf

    return urlsplit(conf.get("api", "base_url", fallback=""))


def page_path() -> str:
    """The page's address on Airflow's server, without a slash at its end."""
    return airflow_url().path.rstrip("/") + PREFIX
