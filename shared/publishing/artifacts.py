"""What a published job leaves behind, and the manifest that says so."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import orjson

from shared.errors import ObjectNotFound
from shared.jobs import ARTIFACTS, MANIFEST, RESPONSE, SUMMARY, artifact_key
from shared.storage import ObjectStore

if TYPE_CHECKING:
    from shared.smarttag.model import Analysis


def store_artifacts(store: ObjectStore, response: bytes, analysis: Analysis, *, anew: bool) -> tuple[bytes, list[str]]:
    """Store the artifacts, the manifest last; return summary.json and the names of all.

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
    return bodies[SUMMARY], [RESPONSE, *bodies, MANIFEST]


def _stands(store: ObjectStore, key: str, body: bytes) -> bool:
    try:
        return store.get(key) == body
    except ObjectNotFound:
        return False
