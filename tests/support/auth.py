"""An auth manager as big deployments have one: rights differ by DAG. Airflow's simple one knows roles only."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

HIDDEN_DAG = "begin_search_hidden"
"""Only admins may read it."""


class RightsByDag(SimpleAuthManager):
    def is_authorized_dag(self, *, user: Any, details: Any = None, **asked: Any) -> bool:
        if details is not None and details.id == HIDDEN_DAG and user.role != "admin":
            return False
        return super().is_authorized_dag(user=user, details=details, **asked)
