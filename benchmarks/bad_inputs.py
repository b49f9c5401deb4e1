"""Broken files and requests by the thousand: each ends in one clear error, and nothing is written or submitted.

``python -m benchmarks.bad_inputs --cases 2000 --seed 1``. Files of the shipped model are damaged, one damage each,
and given to what the DAGs do first; so is the config that EasyRec saved beside a checkpoint. Form fields, commands,
control requests and the page's requests get values of the wrong kind. Some damage leaves a valid file (a comment cut
off, say): then it has to be accepted as a whole. Exits with 1 on a violation.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import io
import json
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from benchmarks.damage import DAMAGES, VALUES
from include.adapters import engines
from include.cli import main as cli
from include.daily.config_files import ConfigFiles
from include.daily.day import DailyFinetune
from include.daily.patching import patch_config
from include.daily.plan import FinetunePlan
from include.errors import EasyRecAutoMLError
from include.experiments import control
from include.experiments.chain_plan import ChainPlan
from include.experiments.control import Control
from include.experiments.limits import change_limits
from include.experiments.opening import OpenRequest, open_experiment
from include.experiments.plan import Plan
from include.experiments.services import Services, utc_now
from include.experiments.trial_starter import Assignment, TrialStarter
from include.experiments.trial_watcher import TrialWatcher
from include.finetune_search.opening import open_finetune_search
from include.search.trial import TrialState
from include.store import ExperimentStore, RunKey, TaskKey
from tests.support.fakes import MemoryJobs, MemoryObjects, MemoryTables, MemoryWorkflow
from tests.support.page import PageClient

MODEL = Path(__file__).resolve().parents[1] / "include" / "models" / "movielens"
CONFIG_URL = "oss://sandbox-bucket/movielens/pipeline.config"
ORIGIN = "oss://sandbox-bucket/movielens/first"
TABLES = {
    ("sandbox", "ratings_train"): (),
    ("sandbox", "ratings_eval"): (),
    ("sandbox", "ratings_daily"): tuple(f"dt=199801{day}" for day in range(14, 20)),
}
Plan_ = TypeVar("Plan_", ChainPlan, FinetunePlan)
SLOW = 5.0
"""Seconds of our own work that no answer may take, whatever else the machine does."""
LONGEST = 20_000
"""Characters of an error that somebody could still read."""


@dataclass
class Case:
    """``what``: the file or request; ``damage``: what is wrong with it."""

    what: str
    damage: str
    run: Callable[[], None]


@dataclass
class Findings:
    refused: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    slowest: float = 0.0


class Lab:
    """What a search, a daily run and the page touch, in memory, and a store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0
        self._prepared: dict[int, tuple[str, Path, Any]] = {}
        self._template = folder / "template.db"
        ExperimentStore.open(f"sqlite:///{self._template}").close()
        self.model = folder / "movielens"
        self.source, self.target = folder / "pipeline.config", folder / "patched.config"
        # Their imports take seconds, of Airflow and NNI.
        importlib.import_module("easyrec.operators.begin_search")
        engines.make_tuner(Plan.load(MODEL))
        self.page = PageClient(self.control)
        self.fresh()

    def fresh(self) -> None:
        """An empty world, and the model's folder as it is shipped."""
        self._made += 1
        self._file = self._folder / f"store{self._made}.db"
        shutil.copy(self._template, self._file)
        self.store = ExperimentStore.open(f"sqlite:///{self._file}")
        self.store.record_pool("movielens_trials", 4)
        self.jobs, self.objects, self.workflow = MemoryJobs(utc_now), MemoryObjects(utc_now), MemoryWorkflow()
        self.objects.write(CONFIG_URL, (MODEL / "pipeline.config").read_bytes())
        shutil.rmtree(self.model, ignore_errors=True)
        shutil.copytree(MODEL, self.model)
        self.target.unlink(missing_ok=True)
        self.settle()

    def settle(self) -> None:
        """What is there now was to be made; all that comes is by the input."""
        self._settled = self._things()

    def services(self) -> Services:
        return Services(
            store=self.store,
            jobs=self.jobs,
            objects=self.objects,
            tables=MemoryTables(TABLES),
            make_tuner=engines.make_tuner,
            make_assessor=engines.make_assessor,
        )

    def control(self) -> Control:
        return Control(self.store, self.workflow, "bench")

    def open(self, **request: Any) -> str:
        plan = Plan.load(self.model)
        wanted = OpenRequest(**{"trials": 2, **request})
        return open_experiment(
            self.services(), plan, wanted, dag_id="dag", run_id="run", by="bench"
        ).experiment.id

    def open_with_trials(self, failed: int = 1) -> str:
        """A search whose first trials have failed and whose next one trains; made once, then copied."""
        if failed not in self._prepared:
            experiment = self._make_trials(failed)
            file = self._folder / f"prepared{failed}.db"
            shutil.copy(self._file, file)
            self._prepared[failed] = experiment, file, copy.deepcopy((self.jobs, self.objects))
        experiment, file, memory = self._prepared[failed]
        self.store.close()
        shutil.copy(file, self._file)
        self.store = ExperimentStore.open(f"sqlite:///{self._file}")
        self.jobs, self.objects = copy.deepcopy(memory)
        self.settle()
        return experiment

    def _make_trials(self, failed: int) -> str:
        experiment = self.open(trials=failed + 1)
        plan = Plan.from_snapshot(self.store.experiment(experiment).snapshot)
        for index in range(failed + 1):
            task = TaskKey("dag", "run", "trial", index)
            trial = TrialStarter(self.services(), plan).start(
                Assignment(experiment), task=task, task_max_tries=1
            )
            if index < failed:
                self.store.move_trial(
                    experiment, index, epoch=trial.epoch, to=TrialState.FAILED, reason="x", by="bench"
                )
        return experiment

    def save_model(self, config: bytes) -> None:
        """A checkpoint, and what EasyRec says that it ran."""
        for name in ("model.ckpt-10.index", "model.ckpt-10.data-00000-of-00001"):
            self.objects.write(f"{ORIGIN}/{name}", b"x")
        self.objects.write(f"{ORIGIN}/pipeline.config", config)
        self.settle()

    def touched(self) -> str:
        """What a refusal has left behind; empty as it should be."""
        return ", ".join(sorted(self._things() - self._settled))

    def _things(self) -> set[str]:
        requests = [r for e in self.store.experiments() for r in self.store.waiting_requests(e.id)]
        return {
            *(f"job {job}" for job in self.jobs.jobs),
            *(each.url for each in self.objects.list("oss://sandbox-bucket/")),
            *(f"run {run}" for run in self.workflow.confs),
            *(f"request {request.run_id}" for request in requests),
            *(f"chain {chain.id}" for chain in self.store.chains()),
            *(f"{self.target}" for _ in range(self.target.exists())),
        }


def cases(lab: Lab, rng: random.Random) -> Iterator[Case]:
    """Without end; each takes the lab as it is shipped."""
    makers = [
        *[_file_case] * 5, *[_config_case] * 2, *[_saved_case] * 4, *[_form_case] * 2, *[_control_case] * 3,
        *[_body_case] * 3, *[_address_case] * 2, *[_command_case] * 2, *[_editor_case] * 2,
    ]  # fmt: skip
    while True:
        yield rng.choice(makers)(lab, rng)


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


def _damaged_config(rng: random.Random) -> tuple[str, bytes]:
    damage = rng.choice([*DAMAGES, *["a value of another kind"] * 10])
    return damage, DAMAGES[damage]((MODEL / "pipeline.config").read_bytes(), rng)


def _config_case(lab: Lab, rng: random.Random) -> Case:
    damage, damaged = _damaged_config(rng)

    def run() -> None:
        lab.objects.write(CONFIG_URL, damaged)
        lab.open()

    return Case("pipeline.config", damage, run)


def _saved_case(lab: Lab, rng: random.Random) -> Case:
    """The config that EasyRec says it ran: the start of days and of a finetune search, the proof of a trial."""
    damage, damaged = _damaged_config(rng)
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


FORM: dict[str, Any] = {
    "max_duration_hours": (int, float),
    "seed": int,
    "experiment": str,
    "custom_parameters": (list, dict),
}
"""Fields and the types that Airflow lets through; it checks the others' ranges, too."""


def _form_case(lab: Lab, rng: random.Random) -> Case:
    from easyrec.operators.begin_search import open_request  # needs Airflow

    name, extends = rng.choice(list(FORM)), rng.random() < 0.3
    value = rng.choice([value for value in VALUES if isinstance(value, FORM[name])])
    form: dict[str, Any] = dict.fromkeys(FORM)

    def run() -> None:
        if extends:
            form["experiment"] = lab.open()
            lab.settle()
        request = open_request({**form, "trials": 2, name: value})
        plan = Plan.load(lab.model)
        open_experiment(lab.services(), plan, request, dag_id="dag", run_id="run", by="bench")

    return Case(f"form field {name}", f"{value!r:.30}", run)


NUMBERS: tuple[int, ...] = (0, 1, -1, 2, 1001, 10**6, 10**30, 10**400)
HOURS: tuple[Any, ...] = (0.0, -1.0, float("nan"), float("inf"), 1e300, 10**400)
PARAMETERS: tuple[dict[str, Any], ...] = (
    *(v for v in VALUES if isinstance(v, dict)),
    {"data_config.batch_size": float("nan")}, {"data_config.batch_size": {"_name": "x"}}, {"": 1}, {"a[": 1},
    {"x" * 5000: 1}, {"data_config.batch_size": 10**400}, {"\ud800": 1}, {"data_config.batch_size": "\0"},
)  # fmt: skip
SEARCHES: tuple[str, ...] = ("", "movielens-00000000", "../..", "\0", "\ud800", "x" * 10_000)


def _control_case(lab: Lab, rng: random.Random) -> Case:
    number, hours, parameters = rng.choice(NUMBERS), rng.choice(HOURS), rng.choice(PARAMETERS)
    numbers, sets = rng.choice(([], [number], [0, 0, number], [1] * 10_000)), rng.choice((1, 3, 10_000))
    elsewhere = rng.choice(SEARCHES) if rng.random() < 0.2 else None
    calls: dict[str, Callable[[Control, str], object]] = {
        "set_concurrency": lambda c, e: control.set_concurrency(c, e, number),
        "change_limits trials": lambda c, e: change_limits(c, e, trials=number),
        "change_limits hours": lambda c, e: change_limits(c, e, hours=hours),
        "change_limits both": lambda c, e: change_limits(c, e, trials=number, hours=hours),
        "stop_trials": lambda c, e: control.stop_trials(c, e, numbers),
        "stop_search": control.stop_search,
        "add_trials": lambda c, e: control.add_trials(c, e, [parameters] * sets),
        "clone_trial": lambda c, e: control.clone_trial(c, e, number, parameters),
        "retry_failed": lambda c, e: control.retry_failed(c, e, numbers),
        "extend": lambda c, e: control.extend(c, e, number),
        "resume": control.resume,
        "pause": control.pause,
    }
    name = rng.choice(list(calls))

    def run() -> None:
        experiment = lab.open_with_trials()
        calls[name](lab.control(), experiment if elsewhere is None else elsewhere)

    given = hours if "hours" in name else parameters if "add" in name else number
    return Case(f"control {name}", f"{given!r:.30}", run)


BODIES: dict[str, dict[str, Any]] = {
    "concurrency": {"slots": 3},
    "limits": {"trials": 9, "hours": 2.5},
    "pause": {},
    "resume": {},
    "stop": {},
    "extend": {"trials": 1},
    "add": {"parameters": [{"data_config.batch_size": 64}]},
    "retry": {"numbers": [0]},
    "stop-trials": {"numbers": [1]},
    "trials/0/clone": {"changes": {"data_config.batch_size": 64}},
    "trials/0/adopt": {"reason": "better"},
}
"""What the page posts below a search."""


def _body_case(lab: Lab, rng: random.Random) -> Case:
    path, value = rng.choice(list(BODIES)), rng.choice(VALUES)
    body = dict(BODIES[path])
    damage = f"{value!r:.30}"
    if rng.random() < 0.6:
        body[rng.choice([*body, "no_such_field"])] = value if rng.random() < 0.7 else [value]
        sent = json.dumps(body).encode()
    else:
        damage = rng.choice(list(DAMAGES))
        sent = DAMAGES[damage](json.dumps(body, indent=1).encode(), rng)
    kind = rng.choice(("application/json", "application/json; charset=utf-16", "text/plain", ""))

    def run() -> None:
        _answered(lab.page.post(f"/api/experiments/{lab.open_with_trials()}/{path}", sent, kind))

    return Case(f"page POST {path}", damage, run)


def _address_case(lab: Lab, rng: random.Random) -> Case:
    first, second = (
        quote(
            rng.choice((b"\0", b"\xff", b"", b"x", b"-1", b"9" * 30, b"9" * 5000, b"nan", b"../..", b"[")), ""
        )
        for _ in range(2)
    )
    path = rng.choice(
        ("experiments?model={a}", "experiments/{a}", "experiments/{a}/trials", "task?dag_id={a}&run_id={b}&task_id=t",
         "task?dag_id=d&run_id=r&task_id=t&map_index={a}", "models/{a}/days?chain={b}", "dags/{a}/runs/{b}",
         "{search}/trials/{a}", "{search}/plots/{a}", "{search}/plots/intermediate?trials={a}",
         "{search}/plots/slice?parameter={a}&parameter={b}", "{search}/plots/intermediate?trials=0,{a}",
         "{search}/trials/{a}/events.zip", "{search}/files?x={a}")
    )  # fmt: skip

    def run() -> None:
        search = f"experiments/{lab.open_with_trials()}"
        _answered(lab.page.get("/api/" + path.format(a=first, b=second, search=search)))

    return Case(f"page GET {path}", f"{first:.20} {second:.20}", run)


def _answered(answer: httpx.Response) -> None:
    """A refusal as the error it tells; anything but a refusal or a success is a fault of ours."""
    if answer.status_code >= 500:
        raise AssertionError(f"{answer.status_code}: {answer.text[:200]}")
    if answer.status_code >= 400:
        detail = answer.json()["detail"]
        raise EasyRecAutoMLError(detail if isinstance(detail, str) else f"Traceback? {detail}")


COMMANDS = ("check", "experiments", "limits", "stop", "pause", "resume", "add", "clone", "retry", "extend", "days",
            "promote", "rollback", "adopt", "logview", "modify-pipeline-config")  # fmt: skip


def _command_case(lab: Lab, rng: random.Random) -> Case:
    words = ["--trials", "--trial", "--json", "--to", "--hours", "--change", "--pipeline-config", "--reason",
             "--store", str(lab.model), "20220617", "-1", "nan", "", "../..", "movielens-00000000", "{", "{}", "a\0b",
             "~no.such.person/x", "9" * 400, '{"a": NaN}']  # fmt: skip
    given = [rng.choice(COMMANDS), *(rng.choice(words) for _ in range(rng.randrange(4)))]

    def run() -> None:
        _cli([*given, "--store", f"sqlite:///{lab.model.parent / 'template.db'}"][: len(given) + 2])

    return Case(f"command {given[0]}", " ".join(given[1:])[:30], run)


def _editor_case(lab: Lab, rng: random.Random) -> Case:
    """The commands that read a local pipeline config."""
    damage, damaged = _damaged_config(rng)
    rate = rng.choice(("1e-6", "1e-6", "1e-6", "1e-6,1e-5", "nan", "-1", "1e999", "", "x"))
    odd = rng.choice(("a\0b", "~no.such.person/x", "", str(lab.model), "/proc/1/mem"))
    source, target = str(lab.source), str(lab.target)
    if rng.random() < 0.2:
        damage, source, target = rng.choice(
            ((f"from {odd!r}", odd, target), (f"to {odd!r}", source, odd) if odd else ("", odd, target))
        )
    edit = ["modify-pipeline-config", f"--pipeline-config-path={source}", f"--save-path={target}"]
    look = ["check", str(lab.model), f"--pipeline-config={source}"]
    given = rng.choice(([*edit, f"--learning-rate={rate}"], look))

    def run() -> None:
        lab.source.write_bytes(damaged)
        _cli(given)

    return Case(f"editor {given[0]}", damage, run)


def _cli(given: list[str]) -> None:
    """Raises EasyRecAutoMLError with all that was said when the command does not succeed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = cli(given)
        except SystemExit as error:  # argparse
            code = int(error.code or 0)
    if code:
        raise EasyRecAutoMLError(said.getvalue())


def check(lab: Lab, case: Case, findings: Findings) -> None:
    """Run one case and judge what came of it."""
    started = time.process_time()
    label = f"{case.what}: {case.damage}"
    try:
        case.run()
        findings.accepted[case.what] += 1
    except EasyRecAutoMLError as error:
        findings.refused[case.what] += 1
        text = str(error)
        if not text.strip() or len(text) > LONGEST or "Traceback" in text:
            findings.violations.append(f"{label}: an error of {len(text)} characters: {text[:200]!r}")
        if lab.touched():
            findings.violations.append(f"{label}: refused, but {lab.touched()}")
    except Exception as error:  # noqa: BLE001 - finding these is the point
        findings.violations.append(f"{label}: {type(error).__name__}: {str(error)[:200]}")
    took = time.process_time() - started
    findings.slowest = max(findings.slowest, took)
    if took > SLOW:
        findings.violations.append(f"{label}: took {took:.1f} s")


def run(count: int, seed: int, folder: Path) -> Findings:
    """``count`` cases from a seed."""
    rng, findings = random.Random(seed), Findings()
    lab = Lab(folder)
    stream = cases(lab, rng)
    for _ in range(count):
        check(lab, next(stream), findings)
        lab.store.close()
        lab.fresh()
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.disable(logging.ERROR)  # what the inputs make the code say is not the point
    with tempfile.TemporaryDirectory() as folder:
        findings = run(arguments.cases, arguments.seed, Path(folder))
    print(f"{'what':40} refused accepted")
    for what in sorted({*findings.refused, *findings.accepted}):
        print(f"{what:40} {findings.refused[what]:7} {findings.accepted[what]:8}")
    total = findings.refused.total()
    print(
        f"{total} broken inputs refused with one error each, {findings.accepted.total()} were valid after all;"
    )
    print(f"{len(findings.violations)} violations; slowest answer {findings.slowest:.2f} s")
    for violation in findings.violations:
        print(f"  {violation}")
    return int(bool(findings.violations))


if __name__ == "__main__":
    sys.exit(main())
