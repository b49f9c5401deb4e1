"""Registers EasyRec AutoML with Airflow; everything it names lives in the package ``easyrec``."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from easyrec import macros
from easyrec.web.lazy import FASTAPI_APPS, external_views


class EasyRecPlugin(AirflowPlugin):
    name = "easyrec_automl"
    macros = macros.ALL
    fastapi_apps = FASTAPI_APPS
    external_views = external_views()

    @classmethod
    def on_load(cls, *_args, **_kwargs):
        from easyrec.pools import make_missing_pools

        make_missing_pools()
