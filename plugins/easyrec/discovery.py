"""The model folders, found by local file reads only: cheap enough for every DAG parse."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from include.daily.plan import FINETUNE, FinetunePlan
from include.errors import EasyRecAutoMLError
from include.experiments.chain_plan import FINETUNE_SEARCH, ChainPlan
from include.experiments.plan import BEGIN, Plan
from include.experiments.settings import NotifySettings

log = logging.getLogger(__name__)

MODELS_DIR_ENV = "EASYREC_AUTOML_MODELS"


P = TypeVar("P", Plan, ChainPlan, FinetunePlan)


@dataclass(frozen=True)
class ModelFolder(Generic[P]):
    """A folder under ``include/models``; ``plan`` or ``problem``, never both."""

    name: str
    path: Path
    plan: P | None
    problem: str = ""

    @property
    def pool(self) -> str:
        return self.plan.settings.pool_of(self.name) if self.plan else "default_pool"

    @property
    def notify(self) -> NotifySettings | None:
        return self.plan.settings.notify if self.plan else None


def adoption_dag(model: str) -> str:
    """Id of the DAG whose run access is the right to adopt parameters for the model's days."""
    return f"adoption_{model}"


def models_dir() -> Path:
    default = Path(__file__).resolve().parents[2] / "include" / "models"
    return Path(os.environ.get(MODELS_DIR_ENV, default))


def begin_models() -> list[ModelFolder[Plan]]:
    """Every folder that has a ``begin`` search; a broken one comes with its problem instead of a plan."""
    return _models(BEGIN, Plan)


def finetune_models() -> list[ModelFolder[FinetunePlan]]:
    """Every folder that has a ``finetune`` folder; a broken one comes with its problem instead of a plan."""
    return _models(FINETUNE, FinetunePlan)


def finetune_search_models() -> list[ModelFolder[ChainPlan]]:
    """Every folder that has a ``finetune_search``; a broken one comes with its problem instead of a plan."""
    return _models(FINETUNE_SEARCH, ChainPlan)


def _models(folder: str, kind: type[P]) -> list[ModelFolder[P]]:
    paths = sorted(models_dir().glob(f"*/{folder}"))
    return [_read(path.parent, kind) for path in paths if path.is_dir()]


def _read(path: Path, kind: type[P]) -> ModelFolder[P]:
    try:
        return ModelFolder(path.name, path, kind.load(path))
    except EasyRecAutoMLError as error:
        log.warning("model folder %s: %s", path, error)
        return ModelFolder(_presentable(path.name), path, None, str(error))


def _presentable(name: str) -> str:
    """What Airflow takes for a DAG's id, which would otherwise lose every model's DAG; never another model's."""
    if re.fullmatch(r"\w{1,64}", name, re.ASCII):
        return name
    return re.sub(r"\W", "-", name, flags=re.ASCII)[:64] + "-"
