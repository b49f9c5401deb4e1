"""A finetune search's parameters, handed to the model's daily finetune (reference R26): one step of a person's."""

from __future__ import annotations

from datetime import date

from include import names
from include.daily.chain import last_good
from include.daily.config_files import ConfigFiles
from include.daily.origin import config_of_days, rate_of_days
from include.daily.patching import patch_config
from include.daily.plan import FinetunePlan
from include.errors import ConfigError, NotFoundError
from include.experiments.chain_plan import ChainPlan
from include.experiments.closing import report_of_store
from include.finetune.calendar import business_date, following
from include.ports import ObjectStore
from include.search.trial import TrialState
from include.store import Adoption, Chain, ExperimentStore, Trial, current_days


def parameters_to_adopt(store: ExperimentStore, model: str, experiment_id: str, number: int | None) -> Trial:
    """The trial whose parameters would be adopted: the best one, or the one with this ``number``.

    Raises ConfigError when there is nothing in it for the model's days, NotFoundError.
    """
    experiment = store.experiment(experiment_id)
    if experiment.kind != ChainPlan.kind:
        raise ConfigError(
            f"experiment {experiment_id} is no finetune search",
            hint="a begin search's best model starts a chain instead: start_from",
        )
    if experiment.model != model:
        raise ConfigError(f"experiment {experiment_id} belongs to model {experiment.model}, not {model}")
    if number is None:
        best = report_of_store(store, experiment_id).best
        if best is None:
            raise ConfigError(f"no trial of experiment {experiment_id} has succeeded")
        number = best.number
    trial = store.trial(experiment_id, number)
    if trial.state is not TrialState.SUCCEEDED:
        raise ConfigError(
            f"trial {number} of {experiment_id} is {trial.state.value.lower()}: only a whole chain can be adopted"
        )
    if not trial.parameters:
        raise ConfigError(
            f"trial {number} of {experiment_id} is the baseline: the config as it is",
            hint="to train as before all adoptions, adopt none",
        )
    return trial


def adopt(
    store: ExperimentStore, objects: ObjectStore, plan: FinetunePlan, trial: Trial, *, by: str, reason: str
) -> Adoption:
    """Train every day that begins from now on with this trial's parameters. Doing it again changes nothing.

    With them counts what had been adopted before that search was opened, for the trial had it, too. They are
    tried on the config of the chain's next day first. Raises ConfigError (and ProblemsError, for shapes that
    the checkpoint fixes) when they don't fit it; nothing was recorded then.
    """
    searched = ChainPlan.from_snapshot(store.experiment(trial.experiment_id).snapshot)
    edits = searched.trained_with(trial.parameters)
    chain = store.current_chain(plan.model)
    if chain is None:
        _try_on_config(objects, plan, searched.step_name(searched.step_count - 1), edits)
    else:
        _try_on_next_day(store, objects, plan, chain, edits)
    return store.adopt(
        plan.model, edits, experiment=trial.experiment_id, trial=trial.number, by=by, reason=reason
    )


def adopted_before(store: ExperimentStore, trial: Trial) -> dict[str, object]:
    """What a trial was trained with besides its parameters: edits that were adopted before its search."""
    searched = ChainPlan.from_snapshot(store.experiment(trial.experiment_id).snapshot)
    own = searched.space.edits(trial.parameters)
    return {key: value for key, value in searched.adopted.items() if key not in own}


def adopt_none(store: ExperimentStore, plan: FinetunePlan, *, by: str, reason: str) -> Adoption:
    """Train days as the model's folder says, as before all adoptions."""
    known = store.adoption(plan.model)
    if known is None:
        raise NotFoundError(f"nothing was adopted for model {plan.model}")
    return store.adopt(plan.model, {}, experiment=None, trial=None, by=by, reason=reason)


def _try_on_config(objects: ObjectStore, plan: FinetunePlan, day: str, edits: dict[str, object]) -> None:
    """Without a chain there is no checkpoint to compare with: the first day does that when it begins."""
    if plan.finetune.pipeline_config == "origin":  # which config that is, is not known yet
        return
    patch_config(
        ConfigFiles(lambda: objects),
        target=None,
        source=plan.parameters(date.fromisoformat(day))["config"],
        edits=None,
        learning_rate=None,
        overrides=edits,
        allow_unknown_fields=plan.settings.allow_unknown_fields,
    )


def _try_on_next_day(
    store: ExperimentStore, objects: ObjectStore, plan: FinetunePlan, chain: Chain, edits: dict[str, object]
) -> None:
    """The day after the last that was promoted: what a gate refused is passed over, as the daily run does it."""
    days = current_days(store.days(plan.model, chain_id=chain.id))
    last = last_good(days.values())
    checkpoint = (last.checkpoint_out if last else None) or chain.origin.checkpoint
    begun = business_date(interval_start=None, run_after=chain.created_at, timezone=plan.finetune.timezone)
    bizdate = following(last.bizdate) if last else min(days, default=begun)
    patch_config(
        ConfigFiles(lambda: objects),
        target=None,
        source=config_of_days(plan, chain, bizdate),
        edits=plan.edits(bizdate),
        learning_rate=rate_of_days(objects, plan, chain),
        overrides=edits,
        trained_config=names.saved_pipeline_config(checkpoint.rpartition("/")[0]),
        force_shapes=plan.finetune.force_shapes,
        allow_unknown_fields=plan.settings.allow_unknown_fields,
    )
