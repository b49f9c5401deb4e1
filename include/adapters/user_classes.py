"""Users' own tuners and assessors: ``codeDirectory`` and ``className`` of ``config.yml`` (reference R12)."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from include.errors import ConfigError
from include.search.wording import nearest
from include.texts import local_path

_IMPORT = threading.RLock()


def load(code_directory: Path, class_name: str, *, provided: Mapping[str, ModuleType] | None = None) -> type:
    """The class ``<file or package.module>.<Class>`` in ``code_directory``.

    Two models may each have a ``my_tuner.py``: what is imported from the folder doesn't stay in
    ``sys.modules``, so import siblings at the top of the file, not inside of functions. ``provided``
    modules can be imported by the class's file under these names, whatever else is installed.

    Raises ConfigError when the folder, file or class isn't there or the file fails while it is imported.
    """
    directory = local_path(code_directory).resolve()
    module_name, _, attribute = class_name.rpartition(".")
    where = f"className {class_name} in {directory}"
    if not module_name:
        raise ConfigError("must be <file>.<class>", where=where, hint=f"e.g. my_tuner.{class_name}")
    if not directory.is_dir():
        raise ConfigError("the codeDirectory is not a folder", where=where)
    if _file(directory, module_name) is None:
        files = [path.stem for path in directory.glob("*.py")]
        raise ConfigError(
            f"there is no {module_name.replace('.', '/')}.py", where=where, hint=nearest(module_name, files)
        )
    with _IMPORT, _isolated(directory, provided or {}):
        try:
            module = importlib.import_module(module_name)
        except Exception as error:  # whatever a user's file raises is a mistake in that file
            raise ConfigError(
                f"the file fails while it is imported: {type(error).__name__}: {error}", where=where
            ) from error
    found = getattr(module, attribute, None)
    if not isinstance(found, type):
        classes = [name for name, value in vars(module).items() if isinstance(value, type)]
        raise ConfigError(f"there is no class {attribute}", where=where, hint=nearest(attribute, classes))
    return found


def construct(kind: type, class_args: Mapping[str, Any], methods: tuple[str, ...]) -> Any:
    """An instance; ConfigError when it lacks a method or can't be made with ``class_args``."""
    missing = [method for method in methods if not callable(getattr(kind, method, None))]
    if missing:
        raise ConfigError(f"class {kind.__name__} has no method {', '.join(missing)}", where=kind.__name__)
    try:
        return kind(**class_args)
    except Exception as error:
        raise ConfigError(
            f"class {kind.__name__} can't be made with classArgs {dict(class_args)}: "
            f"{type(error).__name__}: {error}",
            where=kind.__name__,
        ) from error


def _file(directory: Path, module_name: str) -> Path | None:
    base = directory.joinpath(*module_name.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


@contextmanager
def _isolated(directory: Path, provided: Mapping[str, ModuleType]) -> Iterator[None]:
    """Imports look into ``directory`` first, and leave no trace of it behind."""
    own = {path.stem for path in directory.iterdir() if path.suffix == ".py" or path.is_dir()}
    hidden = {
        name: sys.modules.pop(name)
        for name in list(sys.modules)
        if name in provided or (name.partition(".")[0] in own and not _is_from(name, directory))
    }
    before = set(sys.modules)
    sys.modules.update(provided)
    sys.path.insert(0, str(directory))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(directory))
        for name in set(sys.modules) - before:
            if name in provided or _is_from(name, directory):
                del sys.modules[name]
        sys.modules.update(hidden)


def _is_from(name: str, directory: Path) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is not None and directory in Path(file).resolve().parents
