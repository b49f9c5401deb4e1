"""Routes that change something. All of them are guarded against forgery and ask for run access."""

from __future__ import annotations

from fastapi import APIRouter

from easyrec.web.access import Guarded

router = APIRouter(dependencies=[Guarded], tags=["control"])
