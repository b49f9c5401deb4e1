"""Registers EasyRec AutoML with Airflow; everything it names lives in the package ``easyrec``."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from easyrec import macros


class EasyRecPlugin(AirflowPlugin):
    name = "easyrec_automl"
    macros = macros.ALL

    @classmethod
    def on_load(cls, *_args, **_kwargs):
        from easyrec.pools import make_missing_pools

        make_missing_pools()
