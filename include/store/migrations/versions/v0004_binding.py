"""Binding: which Airflow uses the store, so that a copy of it is told from the original."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("easyrec_store", sa.Column("binding", sa.String(36), nullable=True))
    op.add_column("easyrec_store", sa.Column("bound_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("easyrec_store", sa.Column("bound_to", sa.Text, nullable=True))
    store = sa.table("easyrec_store", sa.column("binding", sa.String))
    op.execute(store.update().values(binding=str(uuid.uuid4())))
