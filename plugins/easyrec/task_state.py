"""What Airflow says about a task instance right now."""

from __future__ import annotations

from typing import Any

ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
"""States that no running task has: somebody else put it there."""


def state_of(ti: Any) -> str | None:
    """The task instance's state; None when it has none (just cleared) or none is known.

    Works in tasks and, off the event loop, in triggers.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    found = list((states.get(ti.run_id) or {}).values())
    return None if len(found) != 1 or found[0] is None else str(found[0])
