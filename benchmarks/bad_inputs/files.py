"""Damaged files: of the model folder, the pipeline config, and the config that EasyRec saved."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import TypeVar

from benchmarks.bad_inputs.damage import DAMAGES
from benchmarks.bad_inputs.lab import CONFIG_URL, MODEL, ORIGIN, Case, Lab
from include.daily.config_files import ConfigFiles
from include.daily.day import DailyFinetune
from include.daily.patching import patch_config
from include.daily.plan import FinetunePlan
from include.experiments.chain_plan import ChainPlan
from include.experiments.opening import OpenRequest
from include.experiments.plan import Plan
from include.experiments.trial_watcher import TrialWatcher
from include.finetune_search.opening import open_finetune_search
from include.store import RunKey

Plan_ = TypeVar("Plan_", ChainPlan, FinetunePlan)


def _load(lab: Lab, path: str) -> None:
    kinds: dict[str, Callable[[], object]] = {
        "begin": lab.open,
        "finetune_search": lambda: ChainPlan.load(lab.model),
        "finetune": lambda: _every_day(FinetunePlan.load(lab.model)),
        "model.yml": lambda: (_every_day(FinetunePlan.load(lab.model)), lab.open()),
    }
    kinds[path.split("/")[0]]()


def _every_day(plan: FinetunePlan) -> None:
    """What the daily DAG reads of its plan before anything else."""
    day = date(2022, 6, 17)
    _ = plan.notes, plan.edits(day), plan.named_checkpoint(day), plan.promotions_prefix
    for command in ("train", *plan.job.commands):
        plan.tables(day, command)


def _file_case(lab: Lab, rng: random.Random) -> Case:
    path = rng.choice(
        ("begin/config.yml", "begin/config_begin.ini", "begin/search_space.json", "model.yml",
         "finetune/config_finetune.ini", "finetune_search/config.yml", "finetune_search/search_space.json")
    )  # fmt: skip
    damage, file = rng.choice(list(DAMAGES)), lab.model / path
    damaged = DAMAGES[damage](file.read_bytes(), rng)

    def run() -> None:
        file.write_bytes(damaged)
        _load(lab, path)

    return Case(path, damage, run)


def damaged_config(rng: random.Random) -> tuple[str, bytes]:
    damage = rng.choice([*DAMAGES, *["a value of another kind"] * 10])
    return damage, DAMAGES[damage]((MODEL / "pipeline.config").read_bytes(), rng)


def _config_case(lab: Lab, rng: random.Random) -> Case:
    damage, damaged = damaged_config(rng)

    def run() -> None:
        lab.objects.write(CONFIG_URL, damaged)
        lab.open()

    return Case("pipeline.config", damage, run)


def _saved_case(lab: Lab, rng: random.Random) -> Case:
    """The config that EasyRec says it ran: the start of days and of a finetune search, the proof of a trial."""
    damage, damaged = damaged_config(rng)
    changes = {
        "start_from": ORIGIN,
        "learning_rate": rng.choice(("handover", "unchanged", 1e-4)),
        "pipeline_config": rng.choice(("ini", "origin")),
    }

    def starting(plan: Plan_) -> Plan_:
        finetune = plan.finetune.model_copy(update=changes)
        return replace(plan, settings=plan.settings.model_copy(update={"finetune": finetune}))

    def search() -> None:
        lab.save_model(damaged)
        plan = starting(ChainPlan.load(lab.model))
        wanted = OpenRequest(trials=2)
        open_finetune_search(lab.services(), plan, wanted, dag_id="dag", run_id="run", by="bench")

    def day() -> None:
        lab.save_model(damaged)
        days = DailyFinetune(lab.services(), starting(FinetunePlan.load(lab.model)))
        days.begin(date(1998, 1, 15), run=RunKey("dag", "run"), task_max_tries=1, by="bench")

    def patch() -> None:
        lab.save_model(damaged)
        patch_config(
            ConfigFiles(lambda: lab.objects),
            source=CONFIG_URL,
            target="oss://sandbox-bucket/patched.config",
            edits={"data_config.batch_size": 64},
            learning_rate=changes["learning_rate"] if changes["learning_rate"] == 1e-4 else None,
            trained_config=f"{ORIGIN}/pipeline.config",
        )

    def trial() -> None:
        experiment = lab.open_with_trials(failed=0)
        job = next(iter(lab.jobs.jobs.values()))
        lab.jobs.run(job.job_id)
        lab.objects.write(f"{job.payload.parameters['model_dir']}/pipeline.config", damaged)
        lab.settle()
        plan = Plan.from_snapshot(lab.store.experiment(experiment).snapshot)
        TrialWatcher(lab.services(), plan, experiment=experiment, trial=0, epoch=0).poll()

    use = rng.choice((search, day, patch, trial))
    return Case(f"saved config, {use.__name__}", damage, use)


CASES = (*[_file_case] * 5, *[_config_case] * 2, *[_saved_case] * 4)
