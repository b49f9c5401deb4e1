"""Our config editor against EasyRec's own ``edit_config``: random edits, both ways of applying them.

Run from the project's root: ``python -m benchmarks.editor_against_easyrec --easyrec CHECKOUT [--edits 20000]
[--seed 7]``. CHECKOUT is a clone of github.com/alibaba/EasyRec; needs ``protoc`` on the PATH or grpcio-tools.

Each edit is made on a config of CHECKOUT/samples, half of them rewritten: the other layout of features, other
formatting. Compared are the messages that come out of

- meant: assigned to the protobuf message by what the generator knows of it (reference R29),
- text: ``edit_text``, then protobuf (way b),
- json: ``render_edit_config_json``, a shell, YAML, EasyRec's ``edit_config`` (way a),
- plain: the edits as plain JSON, YAML, EasyRec's ``edit_config``,
- sandbox: as json, but with the sandbox trainer's edits, and what ``check_edits`` says before.

Exit code 1 when they differ other than in the ways that ``_WEAKNESSES`` and ``_REFUSALS`` name.
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from benchmarks import random_configs, random_edits
from benchmarks.random_edits import UNKNOWN, Edit, NothingThere
from include.errors import ConfigEditError, EasyRecAutoMLError
from include.pipeline_config import check_edits, edit_text, render_edit_config_json
from include.sandbox import easyrec_proto
from include.sandbox.trainer import edits as sandbox

_WEAKNESSES = {
    "a slice as the last step empties what holds it": r"\[[-0-9\s]*:[-0-9\s]*\]\Z",
    "a dot in a selector ends the step": r"\[[^\]]*\.",
    "a colon in a selector makes it a slice": r"\[[^\]]*=[^\]]*:",
    "a second operator in a selector is taken for the first": r"\[[^\]]*=[^\]]*[<>=]",
}
"""Keys on which EasyRec does silently something else than meant; in json we refuse them."""
_CUT = {"blanks around a text are dropped": r"\A\s|\s\Z", "a value ends at ;": ";"}
"""Values on which EasyRec does so."""
_REFUSALS = {
    "nothing is selected": "nothing matches|has no element",
    "a list, object or null as text": "takes one .*, not (a list|an object|null)|takes a message as text",
    "no finite number of the field's size": "NaN is no|too large for|is outside of",
    "numbers as only Python writes them": "is not a number",
    "an enum by a fraction": "is not a name|is no value of",
}
"""What EasyRec takes (or ignores) and we refuse on purpose."""


class EasyRec:
    """EasyRec's messages and ``edit_config`` from a checkout, with stand-ins for what else it imports."""

    def __init__(self, checkout: Path) -> None:
        self.pool = descriptor_pool.DescriptorPool()
        for file in _descriptors(checkout).file:
            self.pool.AddSerializedFile(file.SerializeToString())
        self.config_class = self._class("EasyRecConfig")
        self.edit_config = self._config_util(checkout).edit_config

    def _class(self, name: str) -> Any:
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"protos.{name}"))

    def _config_util(self, checkout: Path) -> Any:
        def stand_in(name: str, **members: Any) -> types.ModuleType:
            module = types.ModuleType(name)
            vars(module).update(members)
            sys.modules[name] = module
            return module

        for name in ("tensorflow.python", "tensorflow.python.lib", "easy_rec", "easy_rec.python"):
            stand_in(name)
        stand_in("tensorflow", __version__="1.15")
        stand_in("tensorflow.python.lib.io", file_io=None)
        pipeline = stand_in("easy_rec.python.protos.pipeline_pb2", EasyRecConfig=self.config_class)
        stand_in("easy_rec.python.protos", pipeline_pb2=pipeline)
        stand_in("easy_rec.python.protos.feature_config_pb2", FeatureConfig=self._class("FeatureConfig"))
        stand_in("easy_rec.python.utils", pai_util=stand_in("easy_rec.python.utils.pai_util"))
        stand_in("easy_rec.python.utils.hive_utils", HiveUtils=None)
        path = checkout / "easy_rec" / "python" / "utils" / "config_util.py"
        spec = importlib.util.spec_from_file_location("easyrec_config_util", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def read(self, text: str) -> Any:
        return text_format.Merge(text, self.config_class())

    def edited(self, config: Any, edits_json: str) -> Any:
        message = copy(config)
        self.edit_config(message, yaml.safe_load(edits_json))
        return message


def _descriptors(checkout: Path) -> descriptor_pb2.FileDescriptorSet:
    protoc = [found] if (found := shutil.which("protoc")) else [sys.executable, "-m", "grpc_tools.protoc"]
    with tempfile.NamedTemporaryFile() as out:
        root = "easy_rec/python/protos/pipeline.proto"
        options = ["-I", str(checkout), "--include_imports", f"--descriptor_set_out={out.name}"]
        subprocess.run([*protoc, *options, root], check=True)
        return descriptor_pb2.FileDescriptorSet.FromString(out.read())


def copy(message: Any) -> Any:
    new = type(message)()
    new.CopyFrom(message)
    return new


def meaning(message: Any) -> bytes:
    """Comparable also where numbers are NaN; presence counts."""
    return bytes(message.SerializePartialToString(deterministic=True))


class Comparison:
    def __init__(self, easyrec: EasyRec, seed: int) -> None:
        self.easyrec = easyrec
        self.seed = seed
        self.counts: collections.Counter[str] = collections.Counter()
        self.differences: list[str] = []
        self.samples: list[tuple[str, Any]] = []

    def load(self, checkout: Path) -> None:
        for path in sorted((checkout / "samples").rglob("*.config")):
            text = path.read_bytes().decode()
            try:
                self.samples.append((text, self.easyrec.read(text)))
            except text_format.ParseError:
                print(f"left out, protobuf can't read it: {path.relative_to(checkout)}")

    def run(self, count: int) -> None:
        number = 0
        while self.counts["edits"] < count:
            number += 1
            rng = random.Random(self.seed * 10**9 + number)
            text, config = self._config(rng)
            for _ in range(3):
                parts = random_edits.edits(config, rng)
                if parts:
                    self.compare(text, config, parts, rng)

    def _config(self, rng: random.Random) -> tuple[str, Any]:
        text, config = rng.choice(self.samples)
        if rng.random() < 0.5 and not config.fg_json_path:
            return text, config
        config = copy(config)
        config.ClearField(
            "fg_json_path"
        )  # its features are not in the config, so edits of them are not judged
        if rng.random() < 0.6:
            config = random_configs.other_layout(config)
        if rng.random() < 0.3:
            random_configs.fill(config, rng)
            config.ClearField("fg_json_path")
        text = random_configs.written(config, rng)
        read = self.easyrec.read(text)
        assert meaning(read) == meaning(config), text
        return text, read

    def compare(self, text: str, config: Any, parts: list[Edit], rng: random.Random) -> None:
        self.counts["edits"] += len(parts)
        self.counts["cases"] += 1
        edits = random_edits.joined(parts, rng)
        meant = self._meant(config, parts)
        ours = refusal = None
        try:
            ours = self.easyrec.read(edit_text(text, edits))
        except ConfigEditError as error:
            refusal = error
        except text_format.ParseError as error:
            self._differs(f"text can't be read by protobuf: {error}", edits)
            return
        if ours is not None and meant == "nothing there":
            self._differs("text edits where nothing is selected", edits)
        elif ours is not None and meant is not None and meaning(ours) != meaning(meant):
            self._differs("text is not what is meant", edits)
        elif refusal is not None and meant not in (None, "nothing there"):
            self._differs(f"text is refused: {refusal}", edits)
        else:
            self.counts[
                "text as meant" if ours is not None and meant is not None else "text: none meant"
            ] += 1
        self._plain(config, edits, ours, refusal)
        sent = self._json(text, config, edits, ours)
        self._checked(text, edits, refusal, sent)

    @staticmethod
    def _meant(config: Any, parts: list[Edit]) -> Any:
        """The message as meant, "nothing there", or None where the generator can't tell."""
        message = copy(config)
        for part in parts:
            if part.meant is UNKNOWN:
                return None
            try:
                random_edits.apply(message, part)
            except NothingThere:
                return "nothing there"
        return message

    def _plain(self, config: Any, edits: dict[str, Any], ours: Any, refusal: Any) -> None:
        try:
            theirs = self.easyrec.edited(config, json.dumps(edits))
        except Exception:  # noqa: BLE001  EasyRec does not say what it raises
            self.counts["plain: EasyRec crashes, we " + ("refuse" if ours is None else "edit")] += 1
            return
        keys = [part.strip() for key in edits for part in key.split(";")]
        weak = [name for name, found in _WEAKNESSES.items() if any(re.search(found, key) for key in keys)]
        weak += [
            name for name, found in _CUT.items() if any(re.search(found, f"{v}") for v in edits.values())
        ]
        if ours is None:
            known = [name for name, found in _REFUSALS.items() if re.search(found, str(refusal), re.DOTALL)]
            self._count("plain: refused by us", known[:1] or weak[:1], f"{refusal}", edits)
        elif meaning(ours) != meaning(theirs):
            self._count("plain: EasyRec goes wrong", weak[:1], "text is not what EasyRec makes", edits)
        else:
            self.counts["plain: same as text"] += 1

    def _json(self, text: str, config: Any, edits: dict[str, Any], ours: Any) -> str | None:
        try:
            sent = render_edit_config_json(text, edits)
        except ConfigEditError as error:
            if ours is not None:
                reason = re.sub(r"\[.*\]|'.*'|\d+", "…", error.message.partition("this: ")[2])
                self.counts[f"json: refused, {re.sub(r' [A-Za-z_.]+…', ' …', reason)}"] += 1
            return None
        if ours is None:
            self._differs("json is made, text refused", edits)
            return sent
        try:
            arrived = sandbox.through_command_line(sent)
            theirs = self.easyrec.edited(config, arrived)
        except Exception as error:  # noqa: BLE001
            self._differs(f"EasyRec crashes on {sent}: {error!r}", edits)
            return sent
        if meaning(theirs) == meaning(ours):
            self.counts["json same as text"] += 1
        else:
            self._differs(f"EasyRec makes something else of {sent}", edits)
        self._sandbox(text, arrived, theirs, edits)
        return sent

    def _sandbox(self, text: str, arrived: str, theirs: Any, edits: dict[str, Any]) -> None:
        try:
            message = easyrec_proto.parse(text)
            sandbox.apply(message, sandbox.load(arrived))
        except EasyRecAutoMLError as error:
            self._differs(f"the sandbox refuses: {error}", edits)
            return
        if meaning(self.easyrec.read(easyrec_proto.to_text(message))) == meaning(theirs):
            self.counts["sandbox same as EasyRec"] += 1
        else:
            self._differs("the sandbox makes something else", edits)

    def _checked(self, text: str, edits: dict[str, Any], refusal: Any, sent: str | None) -> None:
        """What the dry run of a search space says of the same values."""
        space = {key: {"_type": "choice", "_value": [value]} for key, value in edits.items()}
        for as_json, fits in ((False, refusal is None), (True, sent is not None)):
            problems = [p for p in check_edits(text, space, as_json=as_json) if p.fatal]
            if fits == (not problems):
                self.counts["dry run agrees"] += 1
            else:
                self._differs(f"dry run (as_json={as_json}) says {problems}, but {refusal or sent}", edits)

    def _count(self, what: str, known: list[str], problem: str, edits: dict[str, Any]) -> None:
        if known:
            self.counts[f"{what}, {known[0]}"] += 1
        else:
            self._differs(problem, edits)

    def _differs(self, what: str, edits: dict[str, Any]) -> None:
        self.counts["DIFFERENCES"] += 1
        self.differences.append(f"{what}\n    {edits!r}")


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--easyrec", type=Path, required=True, metavar="CHECKOUT")
    arguments.add_argument("--edits", type=int, default=20_000)
    arguments.add_argument("--seed", type=int, default=7)
    options = arguments.parse_args()
    comparison = Comparison(EasyRec(options.easyrec), options.seed)
    comparison.load(options.easyrec)
    comparison.run(options.edits)
    print(f"{len(comparison.samples)} configs, seed {options.seed}")
    for what, count in sorted(
        comparison.counts.items(), key=lambda item: (item[0].partition(",")[0], -item[1])
    ):
        print(f"{count:8,} {what}")
    for difference in comparison.differences[:50]:
        print(difference)
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    sys.exit(main())
