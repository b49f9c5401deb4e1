"""Adoptions: a finetune search's parameters, handed to the daily finetune."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "easyrec_adoption",
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("edits", sa.JSON, nullable=False),
        sa.Column("experiment", sa.String(128), nullable=True),
        sa.Column("trial", sa.Integer, nullable=True),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("model", "number", name="pk_easyrec_adoption"),
        sa.ForeignKeyConstraint(["model"], ["easyrec_model.name"], name="fk_easyrec_adoption_model"),
    )
