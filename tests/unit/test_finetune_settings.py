"""The ``finetune`` section of model.yml: what is refused, and in which words."""

from __future__ import annotations

import pytest

from include.errors import EasyRecAutoMLError
from include.experiments import settings


def test_a_last_day_before_the_first_is_refused_with_both_named(tmp_path):
    path = tmp_path / "model.yml"
    path.write_text("finetune: {first_bizdate: 2022-06-18, last_bizdate: 20220617}\n")

    with pytest.raises(EasyRecAutoMLError, match=r"last_bizdate 2022-06-17 comes before .* 2022-06-18"):
        settings.load(path)
