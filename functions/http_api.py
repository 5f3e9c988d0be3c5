"""The HTTP function: ``handler`` for FC 3.0, ``application`` for FC 2.0 and for any WSGI server."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from shared import logs
from shared.errors import RelayError
from shared.http import fc_adapter, problems
from shared.http.app import App, request_id
from shared.http.routes import Dependencies
from shared.http.tokens import TokenAuth
from shared.links import Links, Sessions
from shared.relay import relay
from shared.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def build(env: Mapping[str, str]) -> App:
    """Return the application for an environment; raise ``BadSettings`` that names every wrong setting."""
    logs.set_up()  # before the settings are known to be right: what is wrong with them has to be read somewhere
    settings = Settings.from_env(env)
    logs.set_up(settings.log_level)
    token_auth = TokenAuth(settings.api_tokens, settings.api_auth)
    links, sessions = Links.of(settings), Sessions.of(settings)
    return App(
        Dependencies(
            lambda context: relay(env, context),
            token_auth,
            links=links,
            sessions=sessions,
            media_url=settings.media_url,
        )
    )


@functools.cache
def _app() -> App:
    return build(os.environ)


def initializer(_context: object) -> None:
    """Prepare the instance, so that wrong settings fail the deployment's first start and not its first caller."""
    _app()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer one WSGI request; while the settings are wrong, every one of them with a problem."""
    try:
        app = _app()
    except RelayError as error:
        logs.log_error("http.not_set_up", error)
        status, body, headers = problems.answer(error, request_id(environ))
        start_response(f"{status} {problems.type_of(error).title}", list(headers.items()))
        return [body]
    return app(environ, start_response)


def handler(event: bytes, context: object) -> dict[str, Any]:
    """Answer one event of an FC 3.0 HTTP trigger."""
    return fc_adapter.invoke(application, event, context)
