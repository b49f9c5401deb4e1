"""JobService and TableCatalog on pyodps, which is imported with the first request."""

from __future__ import annotations

import functools
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from include import names
from include.adapters.connections import MaxComputeCredentials
from include.adapters.retries import Retries
from include.errors import AccessError, NotFoundError, PermanentError, RetryableError
from include.ports import JobPayload, JobState, JobStatus, OwnedJob

if TYPE_CHECKING:
    from include.adapters.pyodps_client import Client

log = logging.getLogger(__name__)
Result = TypeVar("Result")
Known = TypeVar("Known")

_TRAIN = "train"
_PARENT = "job"
_REMEMBERED = 20_000
"""Instances whose owner and end are remembered: neither ever changes."""
_NESTING = 4
_TERMINATED, _SUSPENDED = "Terminated", "Suspended"
_UNENDED = ("Running", _SUSPENDED)


class _Project:
    """A project that is reached through one client, made with the first request: many tasks never send one."""

    def __init__(self, credentials: MaxComputeCredentials, *, retries: Retries | None = None) -> None:
        """No request is sent here."""
        self._credentials = credentials
        self._retries = retries or Retries()

    @functools.cached_property
    def _client(self) -> Client:
        from include.adapters.pyodps_client import Client

        return Client(self._credentials, self._retries)


class MaxComputeJobs(_Project):
    """PAI jobs as MaxCompute instances (reference R4). Keep one per connection; it is thread-safe."""

    def __init__(self, credentials: MaxComputeCredentials, *, retries: Retries | None = None) -> None:
        """No request is sent here."""
        super().__init__(credentials, retries=retries)
        self._lock = threading.Lock()
        self._tokens: OrderedDict[str, tuple[str, str] | None] = OrderedDict()
        self._trained: OrderedDict[str, datetime | None] = OrderedDict()
        self._ended: OrderedDict[str, JobStatus] = OrderedDict()

    def check(self) -> str:
        name: str = self._client.project.name
        found = self._client.call(f"project {name}", lambda: self._client.odps.exist_project(name))
        if not found:
            raise NotFoundError(
                f"there is no MaxCompute project {name}",
                where=f"connection {self._client.keys.connection}",
                hint="jobs would run in it: check project in the connection's extra",
            )
        self._instances(datetime.now(timezone.utc))
        return name

    def submit(self, payload: JobPayload, *, submission_key: str, store_uuid: str) -> str:
        from include.adapters.pyodps_client import submission_xml

        token = names.settings_token(store_uuid, submission_key)
        xml = submission_xml(payload, submission_key=submission_key, token=token)

        def attempt() -> str:
            started: list[str] = []
            try:
                self._client.project.instances.create(xml=xml, create_callback=started.append)
            except Exception as error:
                if not started:
                    raise
                # Its id was in the answer: raising would have it looked up, or sent again.
                said = type(error).__name__
                log.warning("job %s was started; the rest of the answer was damaged: %s", started[0], said)
            return started[0]

        where = f"submission {submission_key}"
        return self._client.retries.call(lambda: self._client.once(where, attempt, posted=True))

    def find(self, *, submission_key: str, store_uuid: str, since: datetime) -> str | None:
        for instance in self._instances(since):
            if self._token(instance.id) == (store_uuid, submission_key):
                job_id: str = instance.id
                return job_id
        return None

    def list_owned(self, *, store_uuid: str, since: datetime, unended: bool = False) -> Sequence[OwnedJob]:
        owned = []
        wanted = _UNENDED if unended else (None,)  # the service filters: a project may start thousands a day
        listed = {i.id: i for status in wanted for i in self._instances(since, status)}
        for job_id in listed:
            token = self._token(job_id)
            if token is None or token[0] != store_uuid:
                continue
            status = self.status(job_id)
            if not (unended and status.state.is_terminal):
                owned.append(OwnedJob(job_id, token[1], status.state, status.started_at))
        return owned

    def status(self, job_id: str) -> JobStatus:
        with self._lock:
            if job_id in self._ended:
                return self._ended[job_id]
        answer, started, ended = self._fetch(job_id)
        subs = self._sub_instances(job_id)
        state, message = self._state(job_id, answer, subs)
        if state is not JobState.WAITING:
            started = self._training_since(subs) or started
        if not state.is_terminal:
            return JobStatus(state, message, subs, started)
        status = JobStatus(state, message, subs, started, ended)
        self._remember(self._ended, job_id, status)  # an end is final
        return status

    def stop(self, job_id: str) -> None:
        """Whether stopping a job stops its parts is not documented, so each part is stopped as well."""
        stopped: set[str] = set()
        self._stop_parts(job_id, stopped)
        self._stop_one(job_id)
        self._stop_parts(job_id, stopped)  # a part may have shown up in between

    def logview(self, job_id: str, *, hours: int = 1) -> Mapping[str, str]:
        ids = {_PARENT: job_id, **self._sub_instances(job_id)}
        return {name: self._link(instance_id, hours) for name, instance_id in ids.items()}

    def _state(self, job_id: str, answer: str, subs: Mapping[str, str]) -> tuple[JobState, str]:
        if answer == _TERMINATED:
            return self._end(job_id, subs)
        self._training_since(subs)
        return (JobState.RUNNING if subs.get(_TRAIN) in self._trained else JobState.WAITING), ""

    def _training_since(self, subs: Mapping[str, str]) -> datetime | None:
        """When the part that trains left the queue; the job itself begins when it is submitted."""
        train = subs.get(_TRAIN)
        if train is not None and train not in self._trained:
            answer, started, _ = self._fetch(train)
            if answer != _SUSPENDED:
                self._remember(self._trained, train, started)
        with self._lock:
            return self._trained.get(train or "")

    def _end(self, job_id: str, subs: Mapping[str, str]) -> tuple[JobState, str]:
        """How a terminated job ended; its parts know better than the job why."""
        states = self._task_states(job_id)
        if states <= {"SUCCESS"}:
            return JobState.SUCCEEDED, ""
        if not states & {"FAILED", "CANCELLED"}:
            return JobState.RUNNING, ""  # terminated, but its tasks have not been settled yet
        ids = [job_id, *subs.values()]
        cancelled = "CANCELLED" in states or any("CANCELLED" in self._task_states(s) for s in subs.values())
        texts = list(OrderedDict.fromkeys(text for each in ids if (text := self._result(each))))
        state = JobState.CANCELLED if cancelled else JobState.FAILED
        return state, "; ".join(texts) or f"MaxCompute gives no reason for job {job_id}"

    def _task_states(self, instance_id: str) -> set[str]:
        tasks = self._call(instance_id, lambda i: i.get_task_statuses(retry=False))
        return {str(task.status.value).upper() for task in tasks.values()}

    def _result(self, instance_id: str) -> str:
        try:
            results = self._call(instance_id, lambda i: i.get_task_results(retry=False))
        except PermanentError as error:
            return f"its result can't be read ({error.message})"
        return "; ".join(" ".join(str(text).split())[:1000] for text in results.values() if text)

    def _fetch(self, instance_id: str) -> tuple[str, datetime | None, datetime | None]:
        """Status, start and end of an instance in one request."""
        status, headers = self._call(instance_id, self._client.instance_status)
        return status, _time(headers.get("x-odps-start-time")), _time(headers.get("x-odps-end-time"))

    def _sub_instances(self, job_id: str, depth: int = _NESTING) -> dict[str, str]:
        """Name to id of the parts that exist by now. (pyodps's iterator waits for the job's end.)"""
        xflows = self._client.project.xflows
        found: dict[str, str] = {}
        for name, action in self._call(job_id, xflows.get_xflow_results).items():
            if not action.instance_id:
                continue
            if action.node_type == "Instance":
                found[name] = action.instance_id
            elif action.node_type == "SubWorkflow" and depth:
                found.update(self._sub_instances(action.instance_id, depth - 1))
        return found

    def _stop_parts(self, job_id: str, stopped: set[str]) -> None:
        for part in self._sub_instances(job_id).values():
            if part not in stopped:
                self._stop_one(part)
                stopped.add(part)

    def _stop_one(self, instance_id: str) -> None:
        try:
            self._call(instance_id, lambda i: i.stop())
        except (AccessError, NotFoundError):
            raise
        except PermanentError as error:
            # 409: it ended before our request came, unless the service meant something else
            if self._fetch(instance_id)[0] != _TERMINATED:
                raise RetryableError(f"can't be stopped: {error.message}", where=error.where) from error

    def _link(self, instance_id: str, hours: int) -> str:
        link: str = self._call(instance_id, lambda i: i.get_logview_address(hours=hours))
        return link

    def _instances(self, since: datetime, status: str | None = None) -> Iterator[Any]:
        """Our account's instances that were started after ``since``, in one status or in any."""
        options = {"start_time": int(since.timestamp()), "status": status, "only_owner": True}
        return iter(
            self._client.call(
                "the list of instances", lambda: list(self._client.odps.list_instances(**options))
            )
        )

    def _token(self, instance_id: str) -> tuple[str, str] | None:
        """``(store uuid, submission key)`` of a job of ours, from the source as it was submitted."""
        with self._lock:
            if instance_id in self._tokens:
                return self._tokens[instance_id]
        try:
            token = self._read_token(instance_id)
        except NotFoundError:
            return None  # listed a moment ago: asked again next time
        self._remember(self._tokens, instance_id, token)
        return token

    def _remember(self, known: OrderedDict[str, Known], instance_id: str, value: Known) -> None:
        with self._lock:
            known[instance_id] = value
            if len(known) > _REMEMBERED:
                known.popitem(last=False)

    def _read_token(self, instance_id: str) -> tuple[str, str] | None:
        xflows = self._client.project.xflows
        try:
            source = self._call(instance_id, xflows.get_xflow_source)
        except (AccessError, NotFoundError):
            raise  # not knowing whose it is must not look like knowing that it is not ours
        except PermanentError:
            return None  # SQL and the like have no such source
        token = self._client.setting_of(source)
        return names.parse_settings_token(token) if token is not None else None

    def _call(self, instance_id: str, attempt: Callable[[Any], Result]) -> Result:
        instance = self._client.project.instances[instance_id]
        return self._client.call(f"instance {instance_id}", lambda: attempt(instance))


class MaxComputeTables(_Project):
    """What exists in MaxCompute. Keep one per connection; it is thread-safe."""

    def project_exists(self, project: str) -> bool:
        exists: bool = self._client.call(
            f"project {project}", lambda: self._client.odps.exist_project(project)
        )
        return exists

    def table_exists(self, project: str, table: str) -> bool:
        exists: bool = self._client.call(
            f"table {project}.{table}", lambda: self._client.odps.exist_table(table, project=project)
        )
        return exists

    def partition_exists(self, project: str, table: str, spec: str) -> bool:
        def attempt() -> bool:
            found: bool = self._client.odps.get_table(table, project=project).exist_partition(
                spec.replace("/", ",")
            )
            return found

        try:
            return self._client.call(f"table {project}.{table}/{spec}", attempt)
        except NotFoundError:
            return False


def _time(header: str | None) -> datetime | None:
    """HTTP's time format, as a moment with a zone."""
    if not header or not header.strip():
        return None
    return parsedate_to_datetime(header).astimezone(timezone.utc)
