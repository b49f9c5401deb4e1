"""The model folders, found by local file reads only: cheap enough for every DAG parse."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from include.errors import EasyRecAutoMLError
from include.experiments.plan import BEGIN, Plan
from include.experiments.settings import ModelSettings

log = logging.getLogger(__name__)

MODELS_DIR_ENV = "EASYREC_AUTOML_MODELS"


@dataclass(frozen=True)
class ModelFolder:
    """A folder under ``include/models``; ``plan`` or ``problem``, never both."""

    name: str
    path: Path
    plan: Plan | None
    problem: str = ""

    @property
    def pool(self) -> str:
        return self.plan.settings.pool_of(self.name) if self.plan else "default_pool"

    @property
    def settings(self) -> ModelSettings:
        return self.plan.settings if self.plan else ModelSettings()


def models_dir() -> Path:
    default = Path(__file__).resolve().parents[2] / "include" / "models"
    return Path(os.environ.get(MODELS_DIR_ENV, default))


def begin_models() -> list[ModelFolder]:
    """Every folder that has a ``begin`` search; a broken one comes with its problem instead of a plan."""
    return [_read(path.parent) for path in sorted(models_dir().glob(f"*/{BEGIN}")) if path.is_dir()]


def _read(path: Path) -> ModelFolder:
    try:
        return ModelFolder(path.name, path, Plan.load(path))
    except EasyRecAutoMLError as error:
        log.warning("model folder %s: %s", path, error)
        return ModelFolder(path.name, path, None, str(error))
