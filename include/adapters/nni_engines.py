"""NNI's tuner classes, each rebuilt for one ask from the recorded trials.

A tuner's inner state can't be stored, so an ask makes a fresh one, tells it the records and asks. Whatever
is random in it is seeded by [seed, number of asks, attempt]. NNI is imported inside of the functions: it
takes seconds and 150 MB, and a DAG file must not pay for that.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from include.adapters import nni_spaces
from include.errors import ExhaustedError
from include.ports import TrialRecord
from include.search.space import SearchSpace

Suggest = Callable[[int], dict[str, Any]]
"""Attempt number → parameters. Later attempts ask for something else than the earlier ones gave."""
_GLOBAL_RANDOMNESS = threading.RLock()


class Engine(Protocol):
    """Makes a tuner that knows the given trials."""

    def __call__(
        self, space: SearchSpace, history: Sequence[TrialRecord], pending: Sequence[TrialRecord], seed: int
    ) -> Suggest: ...


def tpe(optimize_mode: str, tpe_args: Mapping[str, Any]) -> Engine:
    """Tree-structured Parzen estimator; pending trials are lied about (``constant_liar_type``)."""

    def make(
        space: SearchSpace, history: Sequence[TrialRecord], pending: Sequence[TrialRecord], seed: int
    ) -> Suggest:
        import numpy as np

        quiet_nni()
        from nni.algorithms.hpo.tpe_tuner import TpeTuner

        asks = len(history) + len(pending)
        tuner = TpeTuner(optimize_mode=optimize_mode, seed=0, tpe_args=dict(tpe_args))
        tuner.update_search_space(nni_spaces.to_nni(space.domains, nni_spaces.ORDERED))
        tuner.dedup = _as_it_is
        tuner.space = _deeply_nested(tuner.space)
        for number, (trial, value) in enumerate(told_values(history, optimize_mode)):
            tuner._running_params[number] = nni_spaces.to_records(space.domains, trial.parameters)
            tuner.receive_trial_result(number, None, value)
        for number, trial in enumerate(pending, start=len(history)):
            tuner._running_params[number] = nni_spaces.to_records(space.domains, trial.parameters)

        def suggest(attempt: int) -> dict[str, Any]:
            tuner.rng = np.random.default_rng([seed, asks, attempt])
            with np.errstate(all="ignore"):
                raw = tuner.generate_parameters(asks + attempt)
            tuner.trial_end(asks + attempt, False)
            return nni_spaces.from_nni(space.domains, raw)

        return suggest

    return make


def uniform_random() -> Engine:
    """Every domain by its own distribution, whatever the results were."""

    def make(
        space: SearchSpace, history: Sequence[TrialRecord], pending: Sequence[TrialRecord], seed: int
    ) -> Suggest:
        quiet_nni()
        from nni.algorithms.hpo.random_tuner import RandomTuner

        asks = len(history) + len(pending)

        def suggest(attempt: int) -> dict[str, Any]:
            tuner = RandomTuner(seed=[seed, asks, attempt])
            tuner.update_search_space(nni_spaces.to_nni(space.domains, nni_spaces.PLAIN))
            tuner.space = _deeply_nested(tuner.space)
            return nni_spaces.from_nni(space.domains, tuner.generate_parameters(0))

        return suggest

    return make


def grid() -> Engine:
    """All combinations in a fixed order; ranges are halved again and again (NNI's GridSearch)."""

    def make(
        space: SearchSpace,
        history: Sequence[TrialRecord],  # noqa: ARG001 - the n-th point doesn't depend on results
        pending: Sequence[TrialRecord],  # noqa: ARG001
        seed: int,  # noqa: ARG001
    ) -> Suggest:
        nni = quiet_nni()
        from nni.algorithms.hpo.gridsearch_tuner import GridSearchTuner

        tuner = GridSearchTuner()
        specs = nni_spaces.to_nni(space.domains, nni_spaces.GRID)
        if specs:
            tuner.update_search_space(specs)
            tuner.space = _deeply_nested(tuner.space)

        def suggest(attempt: int) -> dict[str, Any]:
            try:
                raw = tuner.generate_parameters(attempt) if specs else {}
            except nni.NoMoreTrialError:
                raise ExhaustedError("every point of the grid was tried") from None
            return nni_spaces.from_nni(space.domains, raw)

        return suggest

    return make


def batch() -> Engine:
    """The listed parameter sets in their order (NNI's Batch; too simple to import NNI for)."""

    def make(
        space: SearchSpace,
        history: Sequence[TrialRecord],  # noqa: ARG001 - as for the grid
        pending: Sequence[TrialRecord],  # noqa: ARG001
        seed: int,  # noqa: ARG001
    ) -> Suggest:
        (listed,) = space.domains.values()
        options = listed.extremes()

        def suggest(attempt: int) -> dict[str, Any]:
            if attempt >= len(options):
                raise ExhaustedError("every listed parameter set was tried")
            return dict(options[attempt])

        return suggest

    return make


def evolution(optimize_mode: str, population_size: int) -> Engine:
    """Naive evolution: tournaments and mutation, replayed ask by ask with what was really run."""

    def make(
        space: SearchSpace, history: Sequence[TrialRecord], pending: Sequence[TrialRecord], seed: int
    ) -> Suggest:
        import numpy as np

        quiet_nni()
        from nni.algorithms.hpo.evolution_tuner import EvolutionTuner

        tuner = EvolutionTuner(optimize_mode=optimize_mode, population_size=0)
        tuner.update_search_space(nni_spaces.to_nni(space.domains, nni_spaces.PLAIN))
        tuner.random_state = np.random.RandomState(_small(seed))
        for _ in range(population_size):
            tuner._random_generate_individual()
        tuner.population_size = population_size
        asks = len(history) + len(pending)

        def ask(number: int, entropy: Sequence[int]) -> Any:
            with seeded(entropy):
                tuner.random_state = np.random.RandomState(_small(*entropy))
                if not tuner.population:  # more trials run than the population has members
                    tuner._random_generate_individual()
                return tuner.generate_parameters(number)

        def tell(number: int, value: float | None) -> None:
            if value is None:
                tuner.trial_end(number, False)
            else:
                tuner.receive_trial_result(number, None, value)

        known = _inside(space, history), _inside(space, pending)
        for number, trial, value in replay(*known, optimize_mode):
            if trial is not None:
                ask(number, [seed, number])
                config = nni_spaces.to_indexed(space.domains, trial.parameters)
                tuner.running_trials[number].config = config
            else:
                tell(number, value)

        def suggest(attempt: int) -> dict[str, Any]:
            return nni_spaces.from_nni(space.domains, ask(asks + attempt, [seed, asks, attempt]))

        return suggest

    return make


def told_values(history: Sequence[TrialRecord], optimize_mode: str) -> Iterator[tuple[TrialRecord, float]]:
    """Trials that teach, with the value they are told with.

    A trial without a value (its job failed) is not told: that says nothing about its parameters. One that
    diverged (NaN, infinity) is told as the worst finite value so far: its parameters did that.
    """
    values = [t.value for t in history if t.value is not None and math.isfinite(t.value)]
    if not values:
        return
    worst = min(values) if optimize_mode == "maximize" else max(values)
    for trial in history:
        if trial.value is not None:
            yield trial, float(trial.value) if math.isfinite(trial.value) else worst


def replay(
    history: Sequence[TrialRecord], pending: Sequence[TrialRecord], optimize_mode: str
) -> Iterator[tuple[int, TrialRecord | None, float | None]]:
    """Asks (with their trial) and tells (None, with the value) of the past as one plausible sequence.

    Asks come in the order of trial numbers, tells in the order in which trials ended, with as many trials
    in between as are running now. A tell of None means: failed.
    """
    told = {trial.number: value for trial, value in told_values(history, optimize_mode)}
    waiting = [trial.number for trial in history]
    running: set[int] = set()
    for trial in sorted([*history, *pending], key=lambda t: t.number):
        while waiting and waiting[0] in running and len(running) > len(pending):
            running.remove(waiting[0])
            yield waiting[0], None, told.get(waiting.pop(0))
        yield trial.number, trial, None
        running.add(trial.number)
    for number in waiting:
        yield number, None, told.get(number)


@contextlib.contextmanager
def seeded(entropy: Sequence[int]) -> Iterator[None]:
    """Global randomness (``random``, ``numpy.random``) seeded inside, untouched outside."""
    import numpy as np

    with _GLOBAL_RANDOMNESS:
        python, numpy = random.getstate(), np.random.get_state()
        seed = _small(*entropy)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def quiet_nni() -> Any:
    """The package nni, without the handler that it puts onto stdout and its chatter."""
    import nni

    logger = logging.getLogger("nni")
    logger.handlers.clear()
    logger.setLevel(logging.ERROR)
    logger.propagate = True
    return nni


def _small(*entropy: int) -> int:
    """32 bits made of several integers, as numpy's old generators take them."""
    import numpy as np

    return int(np.random.SeedSequence(list(entropy)).generate_state(1)[0])


def _inside(space: SearchSpace, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [trial for trial in trials if space.contains(trial.parameters)]


def _deeply_nested(specs: Mapping[Any, Any]) -> dict[Any, Any]:
    """NNI raises KeyError on a choice within a choice within a branch that wasn't chosen."""
    from nni.common.hpo_utils import ParameterSpec

    class Spec(ParameterSpec):  # type: ignore[misc]
        def is_activated_in(self, partial_parameters: Mapping[Any, Any]) -> bool:
            return not self.is_nested() or partial_parameters.get(self.key[:-2]) == self.key[-2]

    return {key: Spec(*spec) for key, spec in specs.items()}


def _as_it_is(parameters: Any) -> Any:
    return parameters
