"""The daily finetune in a real Airflow: a backfill in which things go wrong, and a person's runs after it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from include import names
from include.adapters.maxcompute import MaxComputeJobs
from include.finetune import calendar
from include.jobs import ini
from include.pipeline_config import values_at
from include.ports import JobPayload
from include.sandbox.data import DAILY, PROJECT
from include.store import Day, DayState
from tests.support.sandboxed import maxcompute_credentials

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

MODEL = "shop"
DAG_ID = f"daily_finetune_{MODEL}"
FIRST, SECOND, THIRD = date(1997, 11, 19), date(1997, 11, 20), date(1997, 11, 21)
ORIGIN = f"oss://sandbox-bucket/{MODEL}/origin"
SETTINGS = f"""
pool: movielens_trials
poll_seconds: 0.5
max_training_hours: 0.05
max_trial_retries: 0
lost_answer_seconds: 5
finetune:
  start_from: {ORIGIN}
  last_bizdate: {THIRD}
  pipeline_config: origin
  wait_poll_seconds: 1
"""
LATER = "shop_evaluated_later"
LATER_SETTINGS = SETTINGS.replace(
    f"  last_bizdate: {THIRD}\n",
    f"  first_bizdate: {FIRST}\n  last_bizdate: {FIRST}\n  evaluation: evaluate_job\n",
)
EVALUATE_COMMAND = """
[evaluate_cmd_config]
-Deval_tables=odps://sandbox/tables/ratings_daily/dt=<eval_ymd>
-Dcluster={"worker":{"count":1,"cpu":1000,"memory":40000}}
"""
CHECKPOINT = "train_config.fine_tune_checkpoint"
SCHEDULE = "train_config.optimizer_config[0].adam_optimizer.learning_rate.exponential_decay_learning_rate"
RATE = f"{SCHEDULE}.initial_learning_rate"


def model_dir(day: date, suffix: str = "") -> str:
    return f"oss://sandbox-bucket/{MODEL}/finetune/{day:%Y%m%d}_model{suffix}"


@dataclass
class Chain:
    """The model's days as its user sees them: runs in the grid, jobs in the service's books, the store."""

    world: Any
    noted: dict[str, Any] = field(default_factory=dict)
    """What was seen while it went on."""

    def turn(self, *, on: bool) -> None:
        """The switch beside the DAG's name."""
        self.world.airflow.api("PATCH", f"/dags/{DAG_ID}", {"is_paused": not on})

    def backfill(self, first: date, last: date) -> None:
        """By the command line, while the DAG is paused."""
        self.world.airflow.run_cli(
            "backfill", "create", "--dag-id", DAG_ID, "--reprocess-behavior", "failed", "--max-active-runs", "1",
            "--from-date", f"{first}T00:00+08:00", "--to-date", f"{last}T23:59+08:00",
        )  # fmt: skip

    def runs(self) -> dict[str, dict[str, Any]]:
        found = self.world.airflow.api("GET", f"/dags/{DAG_ID}/dagRuns?order_by=id")["dag_runs"]
        return {run["dag_run_id"]: run for run in found}

    def run_of(self, day: date) -> str:
        """The backfill's run of a day."""
        return next(
            i for i, run in self.runs().items()
            if (run["logical_date"] or "").startswith(f"{calendar.previous(day)}T18:00")
        )  # fmt: skip

    def task(self, run_id: str, task_id: str) -> dict[str, Any]:
        found = self.world.airflow.task_instances(DAG_ID, run_id)
        return next(t for t in found if t["task_id"] == task_id)

    def wait_for_task(self, run_id: str, task_id: str, state: str) -> None:
        self.world.wait(
            lambda: self.task(run_id, task_id)["state"] == state, f"{task_id} of {run_id} is {state}"
        )

    def log_of(self, run_id: str, task_id: str) -> str:
        path = f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{task_id}/logs/1"
        return json.dumps(self.world.airflow.api("GET", path), ensure_ascii=False)

    def wait_for_end(self, run_id: str, dag_id: str = DAG_ID) -> str:
        def ended() -> str | None:
            state = self.world.airflow.run_state(dag_id, run_id)
            return state if state in ("success", "failed") else None

        return str(self.world.wait(ended, f"{run_id} ends"))

    def clear_failed(self, run_id: str) -> None:
        body = {"dry_run": False, "dag_run_id": run_id, "only_failed": True, "reset_dag_runs": True}
        self.world.airflow.api("POST", f"/dags/{DAG_ID}/clearTaskInstances", body)

    def jobs(self, day: date | None = None, *, model: str = MODEL) -> list[dict[str, Any]]:
        """What the service itself knows of the days' trainings, in order."""
        start = f"/{model}/finetune/{day:%Y%m%d}_" if day else f"/{model}/finetune/"
        return [job for job in self._jobs(start) if f"_model_{model}-" not in job["parameters"]["model_dir"]]

    def jobs_of_search(self, experiment: str) -> list[dict[str, Any]]:
        """The same of a finetune search's chains."""
        return self._jobs(f"_model_{experiment}_")

    def _jobs(self, part: str) -> list[dict[str, Any]]:
        every = self.world.control("GET", "/books")["instances"]
        mine = [i for i in every if part in i["parameters"].get("model_dir", "")]
        return sorted(mine, key=lambda i: i["started"])

    def day(self, bizdate: date) -> Day:
        """The newest row of a day."""
        return [d for d in self.world.store.days(MODEL) if d.bizdate == bizdate][-1]

    def message_of(self, run_id: str, task_id: str, words: str) -> str:
        """The task's log, once these words are in it."""

        def said() -> str:
            log = self.log_of(run_id, task_id)
            return log if words in log else ""

        return str(self.world.wait(said, f"{task_id} of {run_id} says {words!r}", seconds=60))

    def saved_config(self, folder: str) -> str:
        key = folder.split("/", 3)[3] + "/pipeline.config"
        return self.world.sandbox.buckets.read(self.world.endpoints.bucket, key).decode()


@pytest.fixture(scope="module")
def chain(world) -> Iterator[Chain]:
    """A model folder that a person adds; its chain starts from a model trained by hand."""
    source, folder = world.models / "movielens", world.models / MODEL
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("begin"))
    path = folder / "finetune" / "config_finetune.ini"
    parts = path.read_text().replace("/movielens/finetune/", f"/{MODEL}/finetune/").split("\n[")
    path.write_text("\n[".join(p for p in parts if not p.startswith("export")))
    (folder / "model.yml").write_text(SETTINGS)
    train_origin(world, ini.load(path, for_search=False))
    later = evaluated_later(folder)

    world.airflow.wait_for_dag("daily_finetune_movielens")
    for kind in ("daily_finetune", "finetune_search", "adoption"):
        world.airflow.wait_for_dag(f"{kind}_movielens")
        token = world.airflow.api("GET", f"/dags/{kind}_movielens")["file_token"]
        world.airflow.api("PUT", f"/parseDagFile/{token}")
    for kind in ("daily_finetune", "finetune_search", "adoption"):
        world.airflow.wait_for_dag(f"{kind}_{MODEL}")
    world.airflow.wait_for_dag(f"daily_finetune_{LATER}")
    chain = Chain(world)
    chain.noted["paused at first"] = world.airflow.api("GET", f"/dags/{DAG_ID}")["is_paused"]
    yield chain
    shutil.rmtree(folder)
    shutil.rmtree(later)


def evaluated_later(like: Path) -> Path:
    """A model whose schedule makes one day, evaluated by a job of its own."""
    folder = like.with_name(LATER)
    shutil.copytree(like, folder)
    path = folder / "finetune" / "config_finetune.ini"
    lines = path.read_text().replace(f"/{MODEL}/finetune/", f"/{LATER}/finetune/").splitlines()
    kept = [line.replace("separate", "none") for line in lines if not line.startswith("-Deval_tables")]
    path.write_text("\n".join(kept) + EVALUATE_COMMAND)
    (folder / "model.yml").write_text(LATER_SETTINGS)
    return folder


def train_origin(world, job: ini.JobConfig) -> None:
    values = calendar.render_all(job.of("train"), calendar.previous(FIRST))
    config = (world.models / "movielens" / "pipeline.config").read_text()
    config = config.replace("decay_steps: 100", "decay_steps: 10")  # its rate has come down when it ends
    world.sandbox.buckets.write(world.endpoints.bucket, f"{MODEL}/pipeline.config", config.encode())
    values |= {"model_dir": ORIGIN, "edit_config_json": "{}"}
    values |= {"config": f"oss://{world.endpoints.bucket}/{MODEL}/pipeline.config"}
    jobs = MaxComputeJobs(maxcompute_credentials(world.endpoints))
    job_id = jobs.submit(
        JobPayload(job.xflow_name, job.xflow_project, values), submission_key="origin", store_uuid="by-hand"
    )
    world.wait(lambda: jobs.status(job_id).state.is_terminal, "the first model is trained")


@pytest.fixture(scope="module")
def backfilled(world, chain) -> Chain:
    """Three days by one command. The first day's training is killed while it submits, the second day's job
    fails until a person clears it, and the third day's partitions are late. One run may be active at a time, so
    the third day has to give way to the second. Triggerer and scheduler are killed while they look after the
    second day's next job. (All of it for thirty days, on Postgres: ``benchmarks/backfill_under_kills.py``.)"""
    late = f"dt={calendar.following(THIRD):%Y%m%d}"
    rows = world.sandbox.tables.read(PROJECT, DAILY, late)
    world.sandbox.tables.drop_partition(PROJECT, DAILY, late)
    world.fault(service="odps", kind="slow", method="POST", path="/instances", seconds=3.0)
    world.fault(service="job", kind="job_fail", path=f"{MODEL}/finetune/{SECOND:%Y%m%d}_")

    chain.backfill(FIRST, THIRD)
    chain.turn(on=True)
    first, second, third = (chain.run_of(day) for day in (FIRST, SECOND, THIRD))
    world.wait(lambda: world.control("GET", "/faults")["injected"], "the first submit has arrived")
    os.kill(chain.task(first, "train")["pid"], signal.SIGKILL)
    world.airflow.api("PATCH", f"/dags/daily_finetune_{LATER}", {"is_paused": False})
    assert chain.wait_for_end(first) == "success"
    assert chain.wait_for_end(second) == "failed"
    chain.wait_for_task(third, "wait_partitions", "deferred")
    chain.noted["partitions"] = chain.log_of(third, "wait_partitions")
    chain.noted["second failed"] = chain.day(SECOND)

    world.sandbox.tables.add_partition(PROJECT, DAILY, late, rows)
    chain.wait_for_task(third, "resolve_checkpoint", "deferred")
    chain.noted["third"] = chain.message_of(third, "resolve_checkpoint", "goes on by itself")
    chain.noted["jobs of third"] = chain.jobs(THIRD)

    chain.clear_failed(second)
    chain.wait_for_task(second, "train", "deferred")
    chain.noted["third gave way"] = chain.task(third, "resolve_checkpoint")["state"]
    for component in ("triggerer", "scheduler"):
        world.airflow.stop(component, signal.SIGKILL)
    for component in ("triggerer", "scheduler"):
        world.airflow.start(component)
    assert chain.wait_for_end(second) == "success"
    chain.noted["lease of second"] = [le for le in world.store.leases(MODEL) if le.run.run_id == second]
    round_of_reconcile = world.airflow.trigger("easyrec_reconcile", {})
    assert chain.wait_for_end(round_of_reconcile, "easyrec_reconcile") == "success"
    assert chain.wait_for_end(third) == "success"
    return chain


def test_the_daily_schedule_is_off_until_a_person_turns_it_on(chain):
    assert chain.noted["paused at first"] is True


def test_the_schedule_makes_no_run_after_the_last_day(backfilled):
    assert {run["run_type"] for run in backfilled.runs().values()} == {"backfill"}


def test_a_backfill_trains_each_day_once_in_order_on_its_own_partitions(backfilled):
    good = [j for j in backfilled.jobs() if j["parameters"]["model_dir"] != model_dir(SECOND)]

    assert [j["parameters"]["train_tables"][-8:] for j in good] == ["19971119", "19971120", "19971121"]
    assert [j["parameters"]["eval_tables"][-8:] for j in good] == ["19971120", "19971121", "19971122"]
    every = backfilled.jobs()
    assert all(before["ended"] <= after["started"] for before, after in itertools.pairwise(every))


def test_every_day_continues_from_the_exact_checkpoint_of_the_day_before(world, backfilled):
    origin = world.store.current_chain(MODEL).origin
    days = [backfilled.day(d) for d in (FIRST, SECOND, THIRD)]

    assert [d.state for d in days] == [DayState.PROMOTED] * 3
    assert origin.checkpoint.startswith(f"{ORIGIN}/model.ckpt-")
    came_from = [values_at(backfilled.saved_config(d.model_dir), CHECKPOINT)[0] for d in days]
    assert came_from == [origin.checkpoint, days[0].checkpoint_out, days[1].checkpoint_out]
    assert all(d.checkpoint_out.startswith(f"{d.model_dir}/model.ckpt-") for d in days)


def test_every_day_learns_at_the_rate_at_which_the_origin_ended(world, backfilled):
    (rate,) = world.store.current_chain(MODEL).origin.learning_rates

    assert 0 < rate < 0.0005
    for day in (FIRST, SECOND, THIRD):
        saved = backfilled.saved_config(backfilled.day(day).model_dir)
        assert values_at(saved, RATE)[0] == pytest.approx(rate, rel=1e-6)


def test_a_training_killed_while_it_submits_costs_no_second_job(backfilled):
    train = backfilled.task(backfilled.run_of(FIRST), "train")

    assert train["try_number"] >= 2  # on a busy machine Airflow may lose a try more
    assert len(backfilled.jobs(FIRST)) == 1


def test_a_killed_triggerer_and_scheduler_cost_no_day_and_no_second_job(backfilled):
    assert [len(backfilled.jobs(day)) for day in (FIRST, SECOND, THIRD)] == [1, 2, 1]  # one failed on purpose


def test_a_day_whose_partitions_are_late_waits_for_them_by_name(backfilled):
    assert "waiting until" in backfilled.noted["partitions"]
    assert "ratings_daily/dt=19971122" in backfilled.noted["partitions"]
    assert len(backfilled.jobs(THIRD)) == 1


def test_a_failed_day_stops_the_chain_until_it_is_cleared(backfilled):
    assert backfilled.noted["second failed"].state is DayState.FAILED
    assert "1997-11-21 waits for 1997-11-20 (failed)" in backfilled.noted["third"]
    assert backfilled.noted["jobs of third"] == []
    failed, mended = backfilled.jobs(SECOND)
    assert failed["parameters"]["model_dir"] == model_dir(SECOND)
    assert mended["parameters"]["model_dir"] == backfilled.day(SECOND).model_dir
    assert backfilled.noted["lease of second"] == []


def test_a_waiting_day_gives_its_place_to_a_cleared_one_and_gets_it_back(world, backfilled):
    third = backfilled.run_of(THIRD)

    assert backfilled.noted["third gave way"] == "failed"
    assert "gives its place away" in backfilled.log_of(third, "resolve_checkpoint")
    assert backfilled.runs()[third]["run_type"] == "backfill"
    assert world.store.given_places() == []


def test_promotions_are_numbered_in_the_order_of_the_days(world, backfilled):
    promotions = [p for p in world.store.promotions(MODEL) if p.repeat == backfilled.day(p.bizdate).repeat]

    assert [(p.number, p.bizdate) for p in promotions] == [(1, FIRST), (2, SECOND), (3, THIRD)]
    assert world.store.leases(MODEL) == []


def test_a_day_that_is_done_is_skipped_and_trained_afresh_when_a_person_insists(world, backfilled):
    before = len(backfilled.jobs())

    again = world.airflow.trigger(DAG_ID, {"bizdate": str(THIRD)})
    assert backfilled.wait_for_end(again) == "success"
    assert backfilled.task(again, "resolve_checkpoint")["state"] == "skipped"
    assert len(backfilled.jobs()) == before

    retrained = world.airflow.trigger(DAG_ID, {"bizdate": str(THIRD), "retrain": True})
    assert backfilled.wait_for_end(retrained) == "success"
    day = backfilled.day(THIRD)
    assert (day.repeat, day.state) == (1, DayState.PROMOTED)
    assert day.model_dir == model_dir(THIRD, "_r1")
    saved = backfilled.saved_config(day.model_dir)
    assert values_at(saved, CHECKPOINT)[0] == backfilled.day(SECOND).checkpoint_out
    assert len(backfilled.jobs()) == before + 1
    assert world.store.serving(MODEL).checkpoint == day.checkpoint_out


def test_a_scheduled_day_is_evaluated_by_a_job_of_its_own(world, backfilled):
    dag_id = f"daily_finetune_{LATER}"

    def ended() -> list[dict[str, Any]]:
        runs = world.airflow.api("GET", f"/dags/{dag_id}/dagRuns")["dag_runs"]
        return [run for run in runs if run["state"] in ("success", "failed")]

    (run,) = world.wait(ended, f"the run of {dag_id} ends")
    (day,) = world.store.days(LATER)
    train, evaluate = backfilled.jobs(model=LATER)

    assert (run["run_type"], run["state"]) == ("scheduled", "success")
    assert (train["parameters"]["cmd"], train["parameters"]["train_tables"][-8:]) == ("train", "19971119")
    assert "eval_tables" not in train["parameters"]
    assert (evaluate["parameters"]["cmd"], evaluate["parameters"]["eval_tables"][-8:]) == (
        "evaluate",
        "19971120",
    )
    assert evaluate["parameters"]["checkpoint_path"] == day.checkpoint_out
    assert (day.bizdate, day.state) == (FIRST, DayState.PROMOTED)
    objective = 0.75 * day.metrics["auc_is_like"] + 0.25 * day.metrics["auc_is_love"]
    assert day.metric == pytest.approx(objective)


def test_a_finetune_search_trains_chains_of_days_whose_parameters_the_days_adopt(world, chain):
    search, adopting = f"finetune_search_{MODEL}", f"adoption_{MODEL}"
    form = {"start_time": f"{FIRST}", "end_time": f"{SECOND}", "trials": 2, "seed": 1}
    run = world.airflow.trigger(search, form)
    assert chain.wait_for_end(run, search) == "success"

    experiment = names.experiment_id(MODEL, world.store.uuid, search, run)
    jobs = chain.jobs_of_search(experiment)
    assert len(jobs) == len(world.store.steps(experiment)) in (3, 4)  # the second chain may be stopped
    before = ORIGIN
    for step in world.store.steps(experiment, 0):
        saved = chain.saved_config(step.model_dir)
        assert str(values_at(saved, CHECKPOINT)[0]).rpartition("/")[0] == before
        before = step.model_dir
    assert jobs[-1]["parameters"]["train_tables"].endswith(f"{SECOND:%Y%m%d}")

    run = world.airflow.trigger(adopting, {"experiment": experiment, "reason": "better"})
    assert chain.wait_for_end(run, adopting) == "success"
    adopted = world.store.adoption(MODEL)
    assert (adopted.experiment, set(adopted.edits)) == (experiment, {RATE, "data_config.batch_size"})

    chain.turn(on=True)
    day = world.airflow.trigger(DAG_ID, {"bizdate": f"{FIRST}", "retrain": True})
    assert chain.wait_for_end(day) == "success"
    saved = chain.saved_config(chain.day(FIRST).model_dir)
    assert {key: values_at(saved, key)[0] for key in adopted.edits} == pytest.approx(dict(adopted.edits))

    back = world.airflow.trigger(adopting, {"none": True, "reason": "other tests train days"})
    assert chain.wait_for_end(back, adopting) == "success"
