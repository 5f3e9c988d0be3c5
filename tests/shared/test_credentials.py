"""Where credentials come from, and that they do not show."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from shared.credentials import Credentials, end_if_stranded, is_stranded
from shared.errors import BadSettings, Unavailable

ENV = {
    "ALIBABA_CLOUD_ACCESS_KEY_ID": "STS.env",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "env-secret\n",
    "ALIBABA_CLOUD_SECURITY_TOKEN": "env-token",
}
CONTEXT = SimpleNamespace(
    credentials=SimpleNamespace(access_key_id="STS.ctx", access_key_secret="ctx-secret", security_token="ctx-token")
)
OF_CONTEXT = Credentials("STS.ctx", "ctx-secret", "ctx-token")


def test_the_context_comes_first_because_it_is_fresh() -> None:
    assert Credentials.from_env_or_context(ENV, CONTEXT) == OF_CONTEXT


def test_python312_has_no_credentials_in_its_context() -> None:
    assert Credentials.from_env_or_context(ENV, SimpleNamespace(request_id="r")).access_key_id == "STS.env"


def test_a_long_lived_key_has_no_token() -> None:
    env = {name: value for name, value in ENV.items() if "TOKEN" not in name}
    assert Credentials.from_env_or_context(env, None).security_token == ""


@pytest.mark.parametrize("missing", ["access_key_id", "access_key_secret"])
def test_half_a_key_in_the_context_is_never_mixed_with_the_other_half(missing: str) -> None:
    half = SimpleNamespace(credentials=SimpleNamespace(**{**vars(CONTEXT.credentials), missing: ""}))
    assert Credentials.from_env_or_context(ENV, half) == Credentials("STS.env", "env-secret", "env-token")


@pytest.mark.parametrize("missing", ["ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"])
def test_half_a_key_in_the_environment_is_none(missing: str) -> None:
    with pytest.raises(BadSettings, match="no credentials"):
        Credentials.from_env_or_context({**ENV, missing: " "}, None)


@pytest.mark.parametrize(
    ("code", "context", "stranded"),
    [
        ("InvalidSecurityToken.Expired", SimpleNamespace(), True),
        ("SecurityTokenExpired", SimpleNamespace(credentials=None), True),
        ("SecurityTokenExpired", SimpleNamespace(credentials=SimpleNamespace(access_key_id="")), True),
        ("SecurityTokenExpired", CONTEXT, False),
        ("SecurityTokenExpired", None, False),
        ("AccessDenied", SimpleNamespace(), False),
        (None, SimpleNamespace(), False),
        ("", SimpleNamespace(), False),
    ],
)
def test_an_instance_is_stranded_when_its_token_has_ended_and_nothing_brings_another(
    code: str | None, context: object, *, stranded: bool
) -> None:
    assert is_stranded(code, context) is stranded
    ended = threading.Event()
    end_if_stranded(Unavailable("no", code=code), context, lambda status: ended.set() if status else None, 0.0)
    assert ended.wait(5 if stranded else 0.1) is stranded


@pytest.mark.parametrize("context", [None, SimpleNamespace(), SimpleNamespace(credentials=None)])
def test_none_at_all_is_told_with_what_to_set(context: object) -> None:
    with pytest.raises(BadSettings, match=r"ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET"):
        Credentials.from_env_or_context({}, context)


def test_an_empty_context_is_no_key() -> None:
    empty = SimpleNamespace(credentials=SimpleNamespace(access_key_id=None, access_key_secret="", security_token=None))
    with pytest.raises(BadSettings, match="no credentials"):
        Credentials.from_env_or_context({}, empty)


def test_no_rendering_shows_them() -> None:
    for text in (repr(OF_CONTEXT), str(OF_CONTEXT), f"{OF_CONTEXT}", repr([OF_CONTEXT])):
        assert not any(secret in text for secret in ("STS.ctx", "ctx-secret", "ctx-token"))
