"""The one error tree. Every failure is either permanent or worth retrying, and says what to do next.

The message is safe to log and to show to an operator: it never holds a credential, a signature or a
signed URL. ``fields`` carry the same facts for machines (job, setting, code, status, ...).
"""

from __future__ import annotations


class RelayError(Exception):
    """Base of every error this project raises.

    Args:
        message: one sentence for a person: what went wrong with which thing, and what to do.
        retry_after: seconds to wait at least, where the other side said so.
        fields: the same facts as JSON values, for the log and for problem+json.
    """

    retryable = False

    def __init__(
        self, message: str, *, retry_after: float | None = None, **fields: str | float | bool | list[str] | None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.fields = fields


class PermanentError(RelayError):
    """Trying again changes nothing until somebody changes something."""


class RetryableError(RelayError):
    """Trying again later may succeed."""

    retryable = True


class BadInput(PermanentError):
    """What we were given is malformed: a message, a job ID, a request, a file."""


class ResponseTooLarge(PermanentError):
    """The MPS response is over ``MAX_RESULT_BYTES``."""


class NotAdmitted(PermanentError):
    """The MPS response is larger than what can be had now; it was not read."""


class BadSettings(PermanentError):
    """Settings are missing or wrong; the message names every one of them."""


class JobNotFound(PermanentError):
    """MPS does not know the job: never existed, another account or region, or past its 180 days."""


class JobErased(PermanentError):
    """The job was erased; only a publication that asks for it brings it back."""


class AccessRefused(PermanentError):
    """MPS or OSS refuses our credentials or permissions."""


class TargetRefused(PermanentError):
    """A webhook's address must not be dialled: not public, not https, or no proper URL."""


class ObjectNotFound(PermanentError):
    """The object store holds nothing under this key."""


class Throttled(RetryableError):
    """The service asks us to slow down."""


class TimedOut(RetryableError):
    """No answer before the deadline."""


class Unavailable(RetryableError):
    """The service failed or could not be reached: 5xx, reset, refused connection, DNS."""


class BadResponse(RetryableError):
    """MPS answered something that is no QuerySmarttagJob response (XML, HTML, cut JSON): its fault, and it may pass."""


class JobNotReady(RetryableError):
    """A notification ran ahead of QuerySmarttagJob, which does not yet say what the message said."""


class SubscribersBroken(RetryableError):
    """subscribers.json is missing, unreadable or no valid JSON: repaired by a person, so worth retrying."""
