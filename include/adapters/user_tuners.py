"""A user's class with NNI's Tuner API, behind ``include.ports.Tuner``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.adapters import user_classes
from include.adapters.nni_engines import quiet_nni, replay, seeded
from include.errors import ConfigError, EasyRecAutoMLError, ExhaustedError
from include.ports import TrialRecord
from include.search.space import SearchSpace

_METHODS = ("update_search_space", "generate_parameters", "receive_trial_result")


def create(
    code_directory: Path,
    class_name: str,
    class_args: Mapping[str, Any],
    space: SearchSpace,
    optimize_mode: str,
) -> UserTuner:
    """Load the class; ConfigError when that fails (``user_classes``). Made anew for every ask."""
    quiet_nni()
    kind = user_classes.load(code_directory, class_name)
    user_classes.construct(kind, class_args, _METHODS)
    return UserTuner(kind, dict(class_args), space, optimize_mode)


@dataclass(frozen=True)
class UserTuner:
    """Replays the past into a fresh instance, with all global randomness seeded, then asks it.

    The replay is one plausible order of what happened (``nni_engines.replay``); a tuner has to take the
    parameters from ``receive_trial_result``, not from what it remembers. Failed trials are told by
    ``trial_end(…, success=False)`` only. Trials outside of the search space (a person's own parameters)
    aren't told, as in NNI. What the tuner suggests is taken as it is, duplicates included.
    """

    kind: type
    class_args: Mapping[str, Any]
    space: SearchSpace
    optimize_mode: str

    def ask(
        self, history: Sequence[TrialRecord], pending: Sequence[TrialRecord], seed: int
    ) -> dict[str, Any]:
        """See ``include.ports.Tuner``; ConfigError when the class raises or gives no plain parameters."""
        nni = quiet_nni()
        try:
            with seeded([abs(seed)]):
                tuner = user_classes.construct(self.kind, self.class_args, _METHODS)
                tuner.update_search_space(self.space.as_dict())
            ids = {}
            for number, trial, value in replay(self._told(history), self._told(pending), self.optimize_mode):
                if trial is not None:
                    ids[number] = trial
                    with seeded([abs(seed), number]):
                        tuner.generate_parameters(number)
                    continue
                with seeded([abs(seed), number, 1]):
                    if value is not None:
                        tuner.receive_trial_result(
                            number, json.loads(json.dumps(dict(ids[number].parameters))), value
                        )
                    if hasattr(tuner, "trial_end"):
                        tuner.trial_end(number, value is not None)
            asks = len(history) + len(pending)
            with seeded([abs(seed), asks]):
                raw = tuner.generate_parameters(max([asks - 1, *ids]) + 1)
        except nni.NoMoreTrialError as error:
            raise ExhaustedError(f"tuner {self.kind.__name__} has no more parameters: {error}") from error
        except EasyRecAutoMLError:
            raise
        except Exception as error:  # whatever a user's class raises is a mistake in that class
            raise ConfigError(
                f"tuner {self.kind.__name__} failed: {type(error).__name__}: {error}",
                where=self.kind.__name__,
            ) from error
        return _plain_parameters(raw, self.kind.__name__)

    def _told(self, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
        return [trial for trial in trials if self.space.contains(trial.parameters)]


def _plain_parameters(raw: Any, name: str) -> dict[str, Any]:
    try:
        plain = json.loads(json.dumps(raw, default=_scalar, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"tuner {name} gave parameters that aren't plain JSON: {error}", where=name
        ) from error
    if not isinstance(plain, dict) or not plain:
        raise ConfigError(f"tuner {name} must give keys and values, not {raw!r}", where=name)
    return plain


def _scalar(value: Any) -> Any:
    """numpy's numbers and arrays as Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r}")
