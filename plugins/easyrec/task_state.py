"""What Airflow says about a task instance right now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.store import RunKey, TaskKey

if TYPE_CHECKING:
    from include.experiments.reconcile import Owner

ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
"""States that no running task has: somebody else put it there."""


def state_of(ti: Any) -> str | None:
    """The task instance's state; None when it has none (just cleared) or none is known.

    Works in tasks and, off the event loop, in triggers.
    """
    found = _states(ti)
    return None if len(found) != 1 or found[0] is None else str(found[0])


def _states(task: Any) -> list[Any]:
    """What Airflow knows of a task instance (or of what has its four names): one state, or nothing."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=task.dag_id, task_ids=[task.task_id], run_ids=[task.run_id], map_index=task.map_index
    )
    return list((states.get(task.run_id) or {}).values())


_AT_WORK = frozenset(
    {"running", "queued", "scheduled", "deferred", "up_for_retry", "up_for_reschedule", "restarting"}
)


class AirflowTasks:
    """What Airflow's task API says of tasks and runs, in tasks and, off the event loop, in triggers.

    Implements ``include.experiments.reconcile.Tasks``.
    """

    def owner(self, task: TaskKey) -> tuple[Owner, str]:
        from include.experiments.reconcile import Owner

        found = _states(task)
        if not found:  # mapped tasks of a run that was cleared may come into being again
            over = self.is_over(RunKey(task.dag_id, task.run_id))
            return (Owner.GONE, "no longer exists") if over else (Owner.UNKNOWN, "does not exist yet")
        state = str(found[0]) if found[0] is not None else None
        if state in ENDED:
            return Owner.GONE, f"is {state}"
        return (Owner.AT_WORK if state in _AT_WORK else Owner.UNKNOWN), f"is {state}"

    def is_over(self, run: RunKey) -> bool:
        return not _is_any_of(run, "queued", "running")

    def is_queued(self, run: RunKey) -> bool:
        """Whether the run waits for a place among the active ones."""
        return _is_any_of(run, "queued")

    def has_failed(self, run: RunKey) -> bool:
        return _is_any_of(run, "failed")

    def has_passed(self, run: RunKey, task_id: str) -> bool:
        """Whether the task of the run, or the whole run, has succeeded; a skipped task has."""
        states = _states(TaskKey(run.dag_id, run.run_id, task_id, -1))
        return states in (["success"], ["skipped"]) or _is_any_of(run, "success")


def _is_any_of(run: RunKey, *states: str) -> bool:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    count = RuntimeTaskInstance.get_dr_count(dag_id=run.dag_id, run_ids=[run.run_id], states=list(states))
    return count > 0
