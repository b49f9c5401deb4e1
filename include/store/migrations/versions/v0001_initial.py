"""The first schema: experiments, trials, steps, results, events, pools."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TIME = sa.DateTime(timezone=True)


def _column(name: str, kind: Any, *, null: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null, **options)


def upgrade() -> None:
    op.create_table(
        "easyrec_store",
        _column("id", sa.SmallInteger, autoincrement=False),
        _column("uuid", sa.String(36)),
        _column("created_at", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_easyrec_store"),
    )
    op.create_table(
        "easyrec_experiment",
        _column("id", sa.String(128)),
        _column("model", sa.String(128)),
        _column("kind", sa.String(16)),
        _column("dag_id", sa.Text),
        _column("run_id", sa.Text),
        _column("seed", sa.BigInteger),
        _column("optimize_mode", sa.String(16)),
        _column("max_trials", sa.Integer, null=True),
        _column("deadline", _TIME, null=True),
        _column("snapshot", sa.JSON),
        _column("state", sa.String(16)),
        _column("reason", sa.Text),
        _column("asks", sa.Integer),
        _column("ends", sa.Integer),
        _column("created_by", sa.Text),
        _column("created_at", _TIME),
        _column("ended_at", _TIME, null=True),
        sa.PrimaryKeyConstraint("id", name="pk_easyrec_experiment"),
    )
    op.create_index("ix_easyrec_experiment_model", "easyrec_experiment", ["model"])
    op.create_table(
        "easyrec_trial",
        _column("experiment_id", sa.String(128)),
        _column("number", sa.Integer, autoincrement=False),
        _column("dag_id", sa.Text),
        _column("run_id", sa.Text),
        _column("task_id", sa.Text),
        _column("map_index", sa.Integer),
        _column("task_max_tries", sa.Integer),
        _column("epoch", sa.Integer),
        _column("parameters", sa.JSON),
        _column("source", sa.String(64)),
        _column("seen", sa.Integer),
        _column("state", sa.String(16)),
        _column("reason", sa.Text),
        _column("metric", sa.Double, null=True),
        _column("metrics", sa.Text, null=True),
        _column("end_order", sa.Integer, null=True),
        _column("asked_at", _TIME),
        _column("submitted_at", _TIME, null=True),
        _column("started_at", _TIME, null=True),
        _column("ended_at", _TIME, null=True),
        sa.PrimaryKeyConstraint("experiment_id", "number", name="pk_easyrec_trial"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["easyrec_experiment.id"], name="fk_easyrec_trial_experiment_id"
        ),
        sa.UniqueConstraint("dag_id", "run_id", "task_id", "map_index", name="uq_easyrec_trial_task"),
    )
    op.create_table(
        "easyrec_step",
        _column("id", _ROW_ID),
        _column("experiment_id", sa.String(128)),
        _column("trial", sa.Integer),
        _column("step", sa.Integer),
        _column("epoch", sa.Integer),
        _column("attempt", sa.Integer),
        _column("submission_key", sa.String(64)),
        _column("model_dir", sa.Text),
        _column("payload", sa.JSON),
        _column("job_id", sa.Text, null=True),
        _column("state", sa.String(16)),
        _column("reason", sa.Text),
        _column("worker_seconds", sa.Double, null=True),
        _column("intended_at", _TIME),
        _column("submitted_at", _TIME, null=True),
        _column("started_at", _TIME, null=True),
        _column("ended_at", _TIME, null=True),
        sa.PrimaryKeyConstraint("id", name="pk_easyrec_step"),
        sa.ForeignKeyConstraint(
            ["experiment_id", "trial"],
            ["easyrec_trial.experiment_id", "easyrec_trial.number"],
            name="fk_easyrec_step_trial",
        ),
        sa.UniqueConstraint("submission_key", name="uq_easyrec_step_submission_key"),
        sa.UniqueConstraint(
            "experiment_id", "trial", "epoch", "step", "attempt", name="uq_easyrec_step_identity"
        ),
    )
    op.create_index(
        "ix_easyrec_step_open",
        "easyrec_step",
        ["id"],
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "easyrec_result",
        _column("step_id", _ROW_ID, autoincrement=False),
        _column("global_step", sa.BigInteger, autoincrement=False),
        _column("objective", sa.Double),
        _column("metrics", sa.Text),
        _column("wall_time", sa.Double),
        _column("recorded_at", _TIME),
        sa.PrimaryKeyConstraint("step_id", "global_step", name="pk_easyrec_result"),
        sa.ForeignKeyConstraint(["step_id"], ["easyrec_step.id"], name="fk_easyrec_result_step_id"),
    )
    op.create_table(
        "easyrec_event",
        _column("id", _ROW_ID),
        _column("experiment_id", sa.String(128), null=True),
        _column("trial", sa.Integer, null=True),
        _column("at", _TIME),
        _column("by", sa.Text),
        _column("kind", sa.String(64)),
        _column("data", sa.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_easyrec_event"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["easyrec_experiment.id"], name="fk_easyrec_event_experiment_id"
        ),
    )
    op.create_index("ix_easyrec_event_experiment_id", "easyrec_event", ["experiment_id"])
    op.create_table(
        "easyrec_pool",
        _column("name", sa.String(256)),
        _column("slots", sa.Integer),
        _column("seen_at", _TIME),
        sa.PrimaryKeyConstraint("name", name="pk_easyrec_pool"),
    )
