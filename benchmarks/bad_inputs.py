"""Broken files and requests by the thousand: each ends in one clear error, and nothing is written or submitted.

``python -m benchmarks.bad_inputs --cases 2000 --seed 1``. Files of the shipped model are damaged, one damage each,
and given to what the DAGs do first; form fields, commands and control requests get values of the wrong kind. Some
damage leaves a valid file (a comment cut off, say): then it has to be accepted as a whole. Exits with 1 on a violation.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from include.adapters import engines
from include.cli import main as cli
from include.daily.plan import FinetunePlan
from include.errors import EasyRecAutoMLError
from include.experiments import control
from include.experiments.chain_plan import ChainPlan
from include.experiments.control import Control
from include.experiments.limits import change_limits
from include.experiments.opening import OpenRequest, open_experiment
from include.experiments.plan import Plan
from include.experiments.services import Services, utc_now
from include.store import ExperimentStore
from tests.support.fakes import MemoryJobs, MemoryObjects, MemoryTables, MemoryWorkflow

MODEL = Path(__file__).resolve().parents[1] / "include" / "models" / "movielens"
CONFIG_URL = "oss://sandbox-bucket/movielens/pipeline.config"
TABLES = {("sandbox", "ratings_train"): (), ("sandbox", "ratings_eval"): ()}
SLOW = 5.0
"""Seconds of our own work that no answer may take, whatever else the machine does."""
LONGEST = 20_000
"""Characters of an error that somebody could still read."""

Damage = Callable[[bytes, random.Random], bytes]


def _lines(text: bytes) -> list[bytes]:
    return text.splitlines(keepends=True)


def _at_a_line(change: Callable[[list[bytes], int, random.Random], None]) -> Damage:
    def damaged(text: bytes, rng: random.Random) -> bytes:
        lines = _lines(text)
        change(lines, rng.randrange(len(lines)), rng)
        return b"".join(lines)

    return damaged


def _truncate(text: bytes, rng: random.Random) -> bytes:
    return text[: rng.randrange(1, len(text))]


def _drop(lines: list[bytes], at: int, _: random.Random) -> None:
    del lines[at]


def _repeat(lines: list[bytes], at: int, _: random.Random) -> None:
    lines.insert(at, lines[at])


def _swap_letters(text: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(text) - 1)
    return text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]


def _put(what: bytes) -> Damage:
    def damaged(text: bytes, rng: random.Random) -> bytes:
        at = rng.randrange(len(text))
        return text[:at] + what + text[at:]

    return damaged


def _value(what: bytes) -> Damage:
    """In place of what follows a ``:`` or ``=``."""

    def change(lines: list[bytes], at: int, rng: random.Random) -> None:
        candidates = [n for n, line in enumerate(lines) if b":" in line or b"=" in line] or [at]
        number = rng.choice(candidates)
        line = lines[number].rstrip(b"\r\n")
        cut = min((line.find(sign) for sign in (b":", b"=") if sign in line), default=0)
        lines[number] = line[: cut + 1] + b" " + what + b"\n"

    return _at_a_line(change)


DAMAGES: dict[str, Damage] = {
    "truncated": _truncate,
    "a line dropped": _at_a_line(_drop),
    "a line twice": _at_a_line(_repeat),
    "letters swapped": _swap_letters,
    "a byte that is no UTF-8": _put(b"\xff"),
    "a zero byte": _put(b"\0"),
    "a byte order mark inside": _put("\ufeff".encode()),
    "a full-width letter": _put("\uff41".encode()),
    "a tab": _put(b"\t"),
    "a quote": _put(b'"'),
    "a brace": _put(b"{"),
    "a closing brace": _put(b"}"),
    "empty": lambda _text, _rng: b"",
    "only noise": lambda _text, rng: rng.randbytes(300),
    "all on one line": lambda text, _rng: text.replace(b"\n", b" "),
    "carriage returns only": lambda text, _rng: text.replace(b"\n", b"\r"),
    "a number beyond floats": _value(b"1e999"),
    "not a number": _value(b"nan"),
    "a negative number": _value(b"-1"),
    "a huge integer": _value(b"9" * 400),
    "a word for a value": _value(b"wrong"),
    "nothing for a value": _value(b""),
    "a list for a value": _value(b"[1, 2]"),
    "a mapping for a value": _value(b"{a: 1}"),
    "a python object": _value(b"!!python/object/apply:os.system ['true']"),
    "a path upwards": _value(b"oss://sandbox-bucket/../../etc/passwd"),
    "a very long value": _value(b"x" * 100_000),
    "nested a thousand times": _value(b"[" * 1000),
    "a bomb of anchors": lambda _text, _rng: _bomb(),
    "an access key": _value(b"LTAI5tFakeFakeFakeFakeFa"),
}


def _bomb() -> bytes:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefg", "bcdefgh", strict=True):
        lines.append(f"{name}: &{name} [" + ", ".join([f"*{before}"] * 9) + "]")
    return "\n".join(lines).encode()


VALUES: tuple[Any, ...] = (
    None, "", " ", "x", "-1", "0", "1e999", "nan", 0, -1, 10**30, 1.5, float("nan"), float("inf"), True, [], [1],
    {}, {"a": 1}, "../..", "oss://b/../x", "2022-13-45", "20220230", "\0", "x" * 10_000, "movielens-00000000",
    {"data_config.batch_size": "many"}, {"no.such.key": 1}, [{"data_config.batch_size": [1]}],
)  # fmt: skip


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
    """What opening a search touches, in memory, and a store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0
        self._template = folder / "template.db"
        ExperimentStore.open(f"sqlite:///{self._template}").close()
        self.model = folder / "movielens"
        self.workflow = MemoryWorkflow()
        # Their imports take seconds, of Airflow and NNI.
        importlib.import_module("easyrec.operators.begin_search")
        engines.make_tuner(Plan.load(MODEL))
        self.fresh()

    def fresh(self) -> None:
        """An empty world, and the model's folder as it is shipped."""
        self._made += 1
        path = self._folder / f"store{self._made}.db"
        shutil.copy(self._template, path)
        self.store = ExperimentStore.open(f"sqlite:///{path}")
        self.store.record_pool("movielens_trials", 4)
        self.jobs, self.objects = MemoryJobs(utc_now), MemoryObjects(utc_now)
        self.objects.write(CONFIG_URL, (MODEL / "pipeline.config").read_bytes())
        self.restore()

    def restore(self) -> None:
        shutil.rmtree(self.model, ignore_errors=True)
        shutil.copytree(MODEL, self.model)

    def services(self) -> Services:
        return Services(
            store=self.store,
            jobs=self.jobs,
            objects=self.objects,
            tables=MemoryTables(TABLES),
            make_tuner=engines.make_tuner,
            make_assessor=engines.make_assessor,
        )

    def open(self, **request: Any) -> str:
        plan = Plan.load(self.model)
        wanted = OpenRequest(**{"trials": 2, **request})
        return open_experiment(
            self.services(), plan, wanted, dag_id="dag", run_id="run", by="bench"
        ).experiment.id

    def touched(self) -> str:
        """What a refusal has left behind; empty as it should be."""
        objects = [each.url for each in self.objects.list("oss://sandbox-bucket/") if each.url != CONFIG_URL]
        if self.jobs.jobs:
            return f"{len(self.jobs.jobs)} jobs were submitted"
        return f"{objects[0]} was written" if objects else ""


def cases(lab: Lab, rng: random.Random) -> Iterator[Case]:
    """Without end; each takes the lab as it is shipped."""
    makers = [_file_case, _file_case, _file_case, _config_case, _form_case, _control_case, _command_case]
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


def _config_case(lab: Lab, rng: random.Random) -> Case:
    damage = rng.choice(list(DAMAGES))
    damaged = DAMAGES[damage]((MODEL / "pipeline.config").read_bytes(), rng)

    def run() -> None:
        lab.objects.write(CONFIG_URL, damaged)
        lab.open()

    return Case("pipeline.config", damage, run)


FORM: dict[str, Any] = {
    "max_duration_hours": (int, float),
    "seed": int,
    "experiment": str,
    "custom_parameters": (list, dict),
}
"""Fields and the types that Airflow lets through; it checks the others' ranges, too."""


def _form_case(lab: Lab, rng: random.Random) -> Case:
    from easyrec.operators.begin_search import open_request  # needs Airflow

    name = rng.choice(list(FORM))
    value = rng.choice([value for value in VALUES if isinstance(value, FORM[name])])
    form: dict[str, Any] = dict.fromkeys(FORM)

    def run() -> None:
        request = open_request({**form, "trials": 2, name: value})
        plan = Plan.load(lab.model)
        open_experiment(lab.services(), plan, request, dag_id="dag", run_id="run", by="bench")

    return Case(f"form field {name}", f"{value!r:.30}", run)


NUMBERS: tuple[Any, ...] = (0, -1, 2, 10**6, 10**30)
HOURS: tuple[Any, ...] = (0.0, -1.0, float("nan"), float("inf"), 1e300)
PARAMETERS: tuple[dict[str, Any], ...] = (
    *(v for v in VALUES if isinstance(v, dict)),
    {"data_config.batch_size": float("nan")}, {"data_config.batch_size": {"_name": "x"}}, {"": 1}, {"a[": 1},
    {"x" * 5000: 1}, {"data_config.batch_size": 10**400},
)  # fmt: skip


def _control_case(lab: Lab, rng: random.Random) -> Case:
    number, hours, parameters = rng.choice(NUMBERS), rng.choice(HOURS), rng.choice(PARAMETERS)
    calls: dict[str, Callable[[Control, str], object]] = {
        "set_concurrency": lambda c, e: control.set_concurrency(c, e, number),
        "change_limits trials": lambda c, e: change_limits(c, e, trials=number),
        "change_limits hours": lambda c, e: change_limits(c, e, hours=hours),
        "stop_trials": lambda c, e: control.stop_trials(c, e, [number]),
        "add_trials": lambda c, e: control.add_trials(c, e, [parameters]),
        "clone_trial": lambda c, e: control.clone_trial(c, e, number, parameters),
        "retry_failed": lambda c, e: control.retry_failed(c, e, [number]),
        "extend": lambda c, e: control.extend(c, e, number),
        "resume": control.resume,
        "pause": lambda c, _e: control.pause(c, rng.choice(("", "movielens-00000000", "../..", "\0"))),
    }
    name = rng.choice(list(calls))

    def run() -> None:
        experiment = lab.open()
        for each in list(lab.objects.list(f"oss://sandbox-bucket/movielens/model/{experiment}_report/")):
            lab.objects.delete(each.url)  # what opening wrote; the request itself is to write nothing
        calls[name](Control(lab.store, lab.workflow, "bench"), experiment)

    given = hours if "hours" in name else parameters if "add" in name else number
    return Case(f"control {name}", f"{given!r:.30}", run)


def _command_case(lab: Lab, rng: random.Random) -> Case:
    words = ["check", "experiments", "limits", "stop", "pause", "clone", "retry", "extend", "days", "promote",
             "rollback", "adopt", "logview", "modify-pipeline-config", "--trials", "--trial", "--json", "--to",
             "--store", str(lab.model), "20220617", "-1", "nan", "", "../..",
             "movielens-00000000", "{"]  # fmt: skip
    given = [rng.choice(words[:14]), *(rng.choice(words) for _ in range(rng.randrange(4)))]

    def run() -> None:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                code = cli(
                    [*given, "--store", f"sqlite:///{lab.model.parent / 'template.db'}"][: len(given) + 2]
                )
            except SystemExit as error:  # argparse
                code = int(error.code or 0)
        if code:
            raise EasyRecAutoMLError(said.getvalue())

    return Case(f"command {given[0]}", " ".join(given[1:])[:30], run)


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
