"""Events that other DAGs can follow: a begin search's best trial, and each promotion."""

from __future__ import annotations

from airflow.sdk import Asset


def begin_best(model: str) -> Asset:
    """Updated when a begin search of the model has ended well; ``extra`` has ``experiment``, ``model_dir`` …"""
    return Asset(name=f"{model}_begin_best", uri=f"easyrec://{model}/begin_best")


def promoted(model: str) -> Asset:
    """Updated at each promotion of the model's daily finetune; ``extra`` has ``checkpoint``, ``bizdate`` …"""
    return Asset(name=f"{model}_promoted", uri=f"easyrec://{model}/promoted")
