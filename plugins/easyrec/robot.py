"""The way to a DingTalk group: the provider's hook, with a time limit and without its token in any log."""

from __future__ import annotations

import logging
import re
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException
from airflow.providers.dingding.hooks.dingding import DingdingHook
from requests import PreparedRequest, RequestException, Response, Session

from easyrec.deadline import within


def send(connection: Any, *, title: str, text: str, seconds: float) -> None:
    """Send a markdown message to the robot of an Airflow connection of type dingding.

    Raises AirflowException with the reason, without the token, when it was not accepted within ``seconds``.
    It may still arrive when the answer was late.
    """
    robot = _Robot(connection, {"title": title, "text": text}, seconds)
    try:
        # requests limits only the single steps, and nothing limits the look-up of the host's name.
        within(seconds, robot.send)
    except TimeoutError:
        raise AirflowException(f"no answer within {seconds:g} s") from None
    except Exception as error:  # noqa: BLE001 - whatever it is, it may quote the token
        raise AirflowException(_reason(error, connection.password)) from None


class _Robot(DingdingHook):
    """DingdingHook ignores the connection's timeout and logs failures with the URL, which has the token."""

    def __init__(self, connection: Any, message: dict[str, str], seconds: float) -> None:
        super().__init__(str(connection.conn_id), message_type="markdown", message=message)
        self._connection = connection
        self._seconds = seconds

    def get_connection(self, _conn_id: str) -> Any:
        """As looked up before: only the main thread of a task may ask its supervisor."""
        return self._connection

    def run(self, endpoint: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """The base logs the URL: the token comes to it only when that is done."""
        return super().run((endpoint or "").partition("?")[0], *args, **kwargs)

    def run_and_check(
        self, session: Session, prepped_request: PreparedRequest, _extra_options: dict[Any, Any]
    ) -> Response:
        prepped_request.prepare_url(prepped_request.url, {"access_token": self._connection.password})
        options = session.merge_environment_settings(
            prepped_request.url, session.proxies, session.stream, session.verify, session.cert
        )
        give_up = 2 * self._seconds  # only ends a thread that nobody waits for any more
        with session:
            answer = session.send(prepped_request, timeout=give_up, allow_redirects=False, **options)
        if answer.status_code != 200:
            raise AirflowException(f"HTTP {answer.status_code} {answer.reason}")
        return answer


def _reason(error: Exception, token: str) -> str:
    """What went wrong, in words; a client's error names its class, because its text alone may say little."""
    text = _hidden(str(error)).replace(token or "\0", "***")
    kind = type(error).__name__
    return f"{kind}: {text}" if isinstance(error, RequestException | ValueError | TypeError) else text


def _hidden(text: str) -> str:
    return re.sub(r"access_token=[^\s&'\")]*", "access_token=***", text)


class _HideTokens(logging.Filter):
    """The client's debug lines have the URL, and Airflow's masker is not everywhere: the LocalExecutor of
    3.3.2 copies task logs to the scheduler's output as they are."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        if "access_token=" in said:
            record.msg, record.args = _hidden(said), ()
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_HideTokens())
