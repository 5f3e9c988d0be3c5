"""What a published job leaves behind, and the manifest that says so."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from shared.errors import ObjectNotFound
from shared.jobs import ARTIFACTS, MANIFEST, RESPONSE, SUMMARY, artifact_key
from shared.storage import ObjectStore

if TYPE_CHECKING:
    from shared.smarttag.model import Analysis


@dataclass(frozen=True, slots=True)
class Stored:
    """What a job left behind: its summary.json, the names of all, and the SHA-256 of the manifest."""

    summary: bytes
    names: list[str]
    manifest: str


def store_artifacts(store: ObjectStore, response: bytes, analysis: Analysis, *, anew: bool) -> Stored:
    """Store the artifacts, the manifest last.

    Unless they are made ``anew``, a manifest that stands as computed says that all of them stand already.
    """
    from shared.smarttag import make_artifacts

    job_id = analysis.summary.jobId
    bodies = {artifact.name: artifact.body for artifact in make_artifacts(analysis, (RESPONSE, MANIFEST))}
    listed = [
        {
            "name": name,
            "bytes": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "contentType": ARTIFACTS[name].content_type,
        }
        for name, body in ({RESPONSE: response} | bodies).items()
    ]
    manifest = orjson.dumps({"jobId": job_id, "artifacts": listed}, option=orjson.OPT_SORT_KEYS)
    if anew or not _stands(store, artifact_key(job_id, MANIFEST), manifest):
        for name, body in bodies.items():
            store.put(artifact_key(job_id, name), body, ARTIFACTS[name].content_type)
        store.put(artifact_key(job_id, MANIFEST), manifest)
    return Stored(bodies[SUMMARY], [RESPONSE, *bodies, MANIFEST], hashlib.sha256(manifest).hexdigest())


def _stands(store: ObjectStore, key: str, body: bytes) -> bool:
    try:
        return store.get(key) == body
    except ObjectNotFound:
        return False
