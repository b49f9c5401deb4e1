"""Routes that ask MaxCompute or OSS about a trial's job, with the connections of its model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from easyrec.web.access import Guarded, Readable, Store
from include.errors import NotFoundError
from include.pages.downloads import event_files
from include.pages.trials import newest_job

router = APIRouter(tags=["jobs"])
_PIECE = 1 << 16


@router.post("/experiments/{experiment}/trials/{number}/logview", dependencies=[Guarded])
def logview(
    found: Readable,
    number: int,
    store: Store,
    response: Response,
    hours: Annotated[int, Query(ge=1, le=24)] = 1,
) -> dict[str, Any]:
    """Fresh links to the log of the trial's newest job and of its parts, good for so many hours.

    A link carries a token: whoever has it reads the log until it expires. It is kept nowhere. A POST, so that
    no cache, history or prefetch makes or keeps one.
    """
    from easyrec.runtime import services_of_trial

    job = newest_job(store, found.id, number)
    known, _ = services_of_trial(found.id, number, store)
    links: Mapping[str, str] = known.jobs.logview(str(job.job_id), hours=hours)
    response.headers["Cache-Control"] = "no-store"
    return {"job_id": job.job_id, "links": dict(links), "hours": hours}


@router.get("/experiments/{experiment}/trials/{number}/events.zip")
def events(found: Readable, number: int, store: Store) -> StreamingResponse:
    """The TensorBoard event files of the trial's newest job."""
    from easyrec.runtime import services_of_trial

    steps = store.steps(found.id, store.trial(found.id, number).number)
    if not steps:
        raise NotFoundError(f"trial {number} of {found.id} has no job yet", hint="wait until it is submitted")
    known, _ = services_of_trial(found.id, number, store)
    file = event_files(known.objects, steps[-1].model_dir)
    headers = {"Content-Disposition": f'attachment; filename="{found.id}_{number}_events.zip"'}
    return StreamingResponse(_pieces(file), media_type="application/zip", headers=headers)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece
