"""This Airflow as the owner of a store: it keeps marks as Variables, which live in its database."""

from __future__ import annotations

import socket

from include.errors import RetryableError

_TEXT = "This Airflow uses this EasyRec store (docs/operations.md). Without this Variable it refuses to."


class AirflowInstallation:
    """``include.experiments.installation.Installation`` by Airflow's task API; works in tasks.

    The mark is the Variable's key, and keys are listed: ``Variable.get`` says of a database that it can't
    reach that the Variable is missing.
    """

    @property
    def name(self) -> str:
        from airflow.configuration import conf

        return str(conf.get("api", "base_url", fallback="") or f"of worker {socket.gethostname()}")

    def has(self, mark: str) -> bool:
        from airflow.sdk import Variable
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            return mark in list(Variable.keys(prefix=mark))
        except AirflowRuntimeError as error:
            raise RetryableError(f"Airflow can't say whether the store is its own: {error}") from error

    def add(self, mark: str) -> None:
        from airflow.sdk import Variable
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            Variable.set(mark, _TEXT, description=_TEXT)
        except AirflowRuntimeError as error:
            raise RetryableError(f"Airflow can't remember that the store is its own: {error}") from error
        if not self.has(mark):
            raise RetryableError(f"Airflow did not keep the Variable {mark}")
