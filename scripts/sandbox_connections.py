"""The sandbox's MaxCompute and OSS as Airflow connections: for the demo, tests and benchmarks."""

from __future__ import annotations

import json

from include.sandbox import Endpoints


def maxcompute_extra(endpoints: Endpoints) -> dict[str, str]:
    return {**_keys(endpoints), "project": endpoints.project, "endpoint": endpoints.maxcompute}


def oss_extra(endpoints: Endpoints) -> dict[str, str]:
    return {**_keys(endpoints), "auth_type": "AK", "region": "cn-sandbox", "endpoint": endpoints.oss}


def environment(endpoints: Endpoints) -> dict[str, str]:
    """Variables that give Airflow the connections which models use by default."""
    connections = {
        "MAXCOMPUTE_DEFAULT": {"conn_type": "maxcompute", "extra": maxcompute_extra(endpoints)},
        "OSS_DEFAULT": {"conn_type": "oss", "extra": oss_extra(endpoints)},
    }
    return {f"AIRFLOW_CONN_{name}": json.dumps(connection) for name, connection in connections.items()}


def _keys(endpoints: Endpoints) -> dict[str, str]:
    return {"access_key_id": endpoints.access_key_id, "access_key_secret": endpoints.access_key_secret}
