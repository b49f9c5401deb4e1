"""Daily finetune: models, chains, days, promotions, leases."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TIME = sa.DateTime(timezone=True)


def _column(name: str, kind: Any, *, null: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null, **options)


def upgrade() -> None:
    op.create_table(
        "easyrec_model",
        _column("name", sa.String(128)),
        _column("chains", sa.Integer),
        _column("promotions", sa.Integer),
        sa.PrimaryKeyConstraint("name", name="pk_easyrec_model"),
    )
    op.create_table(
        "easyrec_chain",
        _column("id", sa.String(160)),
        _column("model", sa.String(128)),
        _column("number", sa.Integer),
        _column("checkpoint", sa.Text),
        _column("config_url", sa.Text),
        _column("learning_rates", sa.JSON),
        _column("experiment", sa.String(128), null=True),
        _column("trial", sa.Integer, null=True),
        _column("created_by", sa.Text),
        _column("created_at", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_easyrec_chain"),
        sa.ForeignKeyConstraint(["model"], ["easyrec_model.name"], name="fk_easyrec_chain_model"),
        sa.UniqueConstraint("model", "number", name="uq_easyrec_chain_number"),
    )
    op.create_table(
        "easyrec_day",
        _column("id", _ROW_ID),
        _column("model", sa.String(128)),
        _column("chain_id", sa.String(160)),
        _column("bizdate", sa.Date),
        _column("repeat", sa.Integer),
        _column("dag_id", sa.Text),
        _column("run_id", sa.Text),
        _column("task_max_tries", sa.Integer),
        _column("state", sa.String(16)),
        _column("reason", sa.Text),
        _column("checkpoint_in", sa.Text),
        _column("model_dir", sa.Text),
        _column("checkpoint_out", sa.Text, null=True),
        _column("global_step", sa.BigInteger, null=True),
        _column("metric", sa.Double, null=True),
        _column("metrics", sa.Text, null=True),
        _column("stale", sa.Boolean),
        _column("begun_at", _TIME),
        _column("trained_at", _TIME, null=True),
        _column("ended_at", _TIME, null=True),
        sa.PrimaryKeyConstraint("id", name="pk_easyrec_day"),
        sa.ForeignKeyConstraint(["model"], ["easyrec_model.name"], name="fk_easyrec_day_model"),
        sa.ForeignKeyConstraint(["chain_id"], ["easyrec_chain.id"], name="fk_easyrec_day_chain_id"),
        sa.UniqueConstraint("model", "bizdate", "repeat", name="uq_easyrec_day_repeat"),
    )
    op.create_index("ix_easyrec_day_chain_id", "easyrec_day", ["chain_id"])
    op.create_index("ix_easyrec_day_run", "easyrec_day", ["dag_id", "run_id"])
    op.create_index(
        "uq_easyrec_day_promoted",
        "easyrec_day",
        ["chain_id", "bizdate"],
        unique=True,
        sqlite_where=sa.text("state = 'PROMOTED'"),
        postgresql_where=sa.text("state = 'PROMOTED'"),
    )
    op.create_table(
        "easyrec_promotion",
        _column("model", sa.String(128)),
        _column("number", sa.Integer, autoincrement=False),
        _column("kind", sa.String(16)),
        _column("chain_id", sa.String(160)),
        _column("bizdate", sa.Date),
        _column("repeat", sa.Integer),
        _column("checkpoint", sa.Text),
        _column("model_dir", sa.Text),
        _column("export_dir", sa.Text, null=True),
        _column("config_url", sa.Text, null=True),
        _column("metric", sa.Double, null=True),
        _column("metrics", sa.Text),
        _column("by", sa.Text),
        _column("reason", sa.Text),
        _column("at", _TIME),
        sa.PrimaryKeyConstraint("model", "number", name="pk_easyrec_promotion"),
        sa.ForeignKeyConstraint(["chain_id"], ["easyrec_chain.id"], name="fk_easyrec_promotion_chain_id"),
        sa.ForeignKeyConstraint(
            ["model", "bizdate", "repeat"],
            ["easyrec_day.model", "easyrec_day.bizdate", "easyrec_day.repeat"],
            name="fk_easyrec_promotion_day",
        ),
    )
    op.create_table(
        "easyrec_lease",
        _column("model", sa.String(128)),
        _column("dag_id", sa.Text),
        _column("run_id", sa.Text),
        _column("bizdate", sa.Date),
        _column("held", sa.Boolean),
        _column("since", _TIME),
        _column("seen_at", _TIME),
        sa.PrimaryKeyConstraint("model", "dag_id", "run_id", name="pk_easyrec_lease"),
        sa.ForeignKeyConstraint(["model"], ["easyrec_model.name"], name="fk_easyrec_lease_model"),
    )
    op.create_index(
        "uq_easyrec_lease_held",
        "easyrec_lease",
        ["model"],
        unique=True,
        sqlite_where=sa.text("held"),
        postgresql_where=sa.text("held"),
    )
