"""The callback one would write first: the official SDKs at the top of the file, one job, one webhook.

It asks MPS for the job, keeps the response and what it found, reads who is to be told, and tells them in the form of
Standard Webhooks. It knows no retries but those of the SDKs, and neither duplicates nor a task that outlives it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from typing import Any
from urllib.parse import urlsplit

import alibabacloud_oss_v2 as oss
import fc2
import requests
from aliyunsdkcore.auth.credentials import StsTokenCredential
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest


def handler(event: bytes, context: Any) -> dict[str, str]:  # noqa: ANN401 - the platform's own class
    """Publish the job that a message is about."""
    job_id = json.loads(event)["JobId"]
    response = query(job_id, context)
    results = json.loads(response)["Results"]["Result"]
    store, output = client(context), urlsplit(os.environ["OUTPUT_URL"])
    summary = {"jobId": job_id, "results": {result["Type"]: json.loads(result["Data"]) for result in results}}
    for name, body in (("response.json", response), ("summary.json", json.dumps(summary).encode())):
        key = f"{output.path[1:]}/{job_id}/{name}"
        store.put_object(oss.PutObjectRequest(bucket=output.netloc, key=key, body=body))
    subscribers = urlsplit(os.environ["SUBSCRIBERS_URL"])
    found = store.get_object(oss.GetObjectRequest(bucket=subscribers.netloc, key=subscribers.path[1:]))
    for subscriber in json.loads(found.body.read())["subscribers"]:
        tell(subscriber, job_id, summary, context)
    return {"outcome": "published"}


def query(job_id: str, context: Any) -> bytes:  # noqa: ANN401 - as above
    """Ask MPS for a job."""
    who, where = context.credentials, urlsplit(os.environ["MPS_ENDPOINT"])
    credential = StsTokenCredential(who.access_key_id, who.access_key_secret, who.security_token)
    asking = AcsClient(region_id=context.region, credential=credential, port=where.port or 443)
    request = CommonRequest(where.hostname, "2014-06-18", "QuerySmarttagJob", product="Mts")
    request.set_method("POST")
    request.set_protocol_type(where.scheme)
    request.add_query_param("JobId", job_id)
    answer: bytes = asking.do_action_with_exception(request)
    return answer


def client(context: Any) -> Any:  # noqa: ANN401 - as above
    """Return OSS as the function's role."""
    who, config = context.credentials, oss.config.load_default()
    config.region, config.endpoint = context.region, os.environ["OSS_ENDPOINT"]
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(
        who.access_key_id, who.access_key_secret, who.security_token
    )
    return oss.Client(config)


def tell(subscriber: dict[str, Any], job_id: str, summary: dict[str, Any], context: Any) -> None:  # noqa: ANN401 - as above
    """Send one subscriber the event, or invoke the function that it names."""
    body = json.dumps({"type": "smarttag.job.succeeded", "data": summary}).encode()
    address = urlsplit(subscriber["url"])
    if address.scheme == "fc":
        who = context.credentials
        calling = fc2.Client(
            endpoint=os.environ["INVOKE_ENDPOINT"],
            accessKeyID=who.access_key_id,
            accessKeySecret=who.access_key_secret,
            securityToken=who.security_token,
        )
        calling.invoke_function(address.netloc, address.path[1:], body)
        return
    now = str(int(time.time()))
    key = base64.b64decode(subscriber["secrets"][0].removeprefix("whsec_"))
    signature = hmac.new(key, b".".join((job_id.encode(), now.encode(), body)), hashlib.sha256).digest()
    headers = {
        "content-type": "application/json",
        "webhook-id": job_id,
        "webhook-timestamp": now,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }
    requests.post(subscriber["url"], body, headers=headers, timeout=10).raise_for_status()
