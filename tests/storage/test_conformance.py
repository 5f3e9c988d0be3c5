"""What every object store must do; the same tests run on each of them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import BadInput, ObjectNotFound
from shared.storage import ObjectStore
from tests.fakes.memory_store import MemoryStore

KEY = "jobs/88c6ca184c0e47098a5b665e2a126797/summary.json"


def test_an_object_comes_back_as_it_was_written(store: ObjectStore) -> None:
    body = bytes(range(256)) * 5000
    assert store.create("a/blob.bin", body, "application/octet-stream")
    assert store.get("a/blob.bin") == body


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    assert store.create("a/empty.json", b"")
    assert store.get("a/empty.json") == b""
    assert store.head("a/empty.json").size == 0  # type: ignore[union-attr] # None fails the test as it should


def test_create_refuses_another_body_and_keeps_the_first(store: ObjectStore) -> None:
    assert store.create(KEY, b"first")
    assert not store.create(KEY, b"other")
    assert not store.create(KEY, b"firs_")
    assert store.get(KEY) == b"first"


def test_create_of_the_same_body_is_true(store: ObjectStore) -> None:
    assert store.create(KEY, b"same")
    assert store.create(KEY, b"same")


def test_put_replaces(store: ObjectStore) -> None:
    store.put(KEY, b"one")
    store.put(KEY, b"two, longer")
    assert store.get(KEY) == b"two, longer"
    assert not store.create(KEY, b"one")


def test_what_is_not_there(store: ObjectStore) -> None:
    assert store.head(KEY) is None
    with pytest.raises(ObjectNotFound, match=KEY):
        store.get(KEY)
    store.delete(KEY)
    assert list(store.list("jobs/")) == []


def test_a_folder_of_objects_is_no_object(store: ObjectStore) -> None:
    store.put("a/b/c.json", b"{}")
    assert store.head("a/b") is None
    with pytest.raises(ObjectNotFound):
        store.get("a/b")
    store.delete("a/b")
    assert store.get("a/b/c.json") == b"{}"


def test_delete_frees_the_key(store: ObjectStore) -> None:
    store.put(KEY, b"old")
    store.delete(KEY)
    assert store.head(KEY) is None
    assert store.create(KEY, b"new")


@pytest.mark.parametrize(
    ("key", "content_type"),
    [
        ("a/report.html", "text/html; charset=utf-8"),
        ("a/summary.json", "application/json"),
        ("a/summary.json", "application/problem+json"),
        ("a/plain", "text/plain"),
        ("a/plain", "application/octet-stream"),
    ],
)
def test_head_knows_size_and_content_type(store: ObjectStore, key: str, content_type: str) -> None:
    store.put(key, b"older", "image/png")
    store.put(key, b"12345", content_type)
    info = store.head(key)
    assert info is not None
    assert (info.key, info.size, info.content_type) == (key, 5, content_type)
    assert info.etag
    assert 0 <= info.age < 60


def test_created_objects_keep_their_content_type_against_later_creates(store: ObjectStore) -> None:
    assert store.create("a/page", b"first", "text/html; charset=utf-8")
    assert not store.create("a/page", b"later", "image/png")
    info = store.head("a/page")
    assert info is not None
    assert info.content_type == "text/html; charset=utf-8"


def test_the_etag_changes_with_the_body(store: ObjectStore) -> None:
    store.put(KEY, b"one")
    one = store.head(KEY)
    assert store.head(KEY).etag == one.etag  # type: ignore[union-attr] # None fails the test as it should
    store.put(KEY, b"two")
    assert store.head(KEY).etag != one.etag  # type: ignore[union-attr] # as above


def test_list_is_in_ascending_byte_order(store: ObjectStore) -> None:
    keys = ["a/b/c", "a-b", "a.json", "a/b-c", "a/中/文", "a0", "B/x", "a/b/\U0001f600", "a/b/é", "a/b/\uff21"]
    for key in keys:
        store.put(key, key.encode())
    assert list(store.list("")) == sorted(keys, key=str.encode)


def test_list_takes_a_prefix_that_ends_anywhere(store: ObjectStore) -> None:
    for key in ("jobs/a/1", "jobs/a/2", "jobs/ab/1", "jobs/b/1", "outbox/1"):
        store.put(key, b"")
    assert list(store.list("jobs/a/")) == ["jobs/a/1", "jobs/a/2"]
    assert list(store.list("jobs/a")) == ["jobs/a/1", "jobs/a/2", "jobs/ab/1"]
    assert list(store.list("jobs/a/1")) == ["jobs/a/1"]
    assert list(store.list("jobs/c")) == []
    assert list(store.list("jobs/a/1/2")) == []


def test_list_starts_after_a_key(store: ObjectStore) -> None:
    for key in ("outbox/0001/a", "outbox/0001/b", "outbox/0002/a", "outbox/0003"):
        store.put(key, b"")
    assert list(store.list("outbox/", "outbox/0001/a")) == ["outbox/0001/b", "outbox/0002/a", "outbox/0003"]
    assert list(store.list("outbox/", "outbox/0001/")) == list(store.list("outbox/"))
    assert list(store.list("outbox/", "outbox/0002~")) == ["outbox/0003"]
    assert list(store.list("outbox/0001/", "outbox/0002/a")) == []
    assert list(store.list("outbox/", "a")) == list(store.list("outbox/"))


def test_what_is_deleted_while_listing_is_no_error(store: ObjectStore) -> None:
    keys = [f"outbox/{due:04}/entry" for due in range(30)]
    for key in keys:
        store.put(key, b"")
    seen = []
    for key in store.list("outbox/"):
        store.delete(key)
        seen.append(key)
    assert seen == keys
    assert list(store.list("")) == []


def test_list_is_lazy(store: ObjectStore) -> None:
    for index in range(5):
        store.put(f"a/{index}/x", b"")
    assert list(islice(store.list("a/"), 2)) == ["a/0/x", "a/1/x"]


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/./b", "a\0b", "a\nb", "a\\b", "\ud800", "k" * 1024],
)
def test_an_impossible_key_is_refused_by_every_method(store: ObjectStore, key: str) -> None:
    for call in (
        lambda: store.create(key, b""),
        lambda: store.put(key, b""),
        lambda: store.get(key),
        lambda: store.head(key),
        lambda: store.delete(key),
    ):
        with pytest.raises(BadInput, match="is no object key"):
            call()


def test_a_prefix_cannot_climb_out(store: ObjectStore) -> None:
    for prefix in ("../", "a/../../", "/etc/"):
        with pytest.raises(BadInput):
            list(store.list(prefix))


def test_one_of_many_threads_wins_the_key(store: ObjectStore) -> None:
    bodies = [f"worker {number}".encode() for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        for round_ in range(5):
            won = list(pool.map(lambda body: store.create(f"claims/{round_}", body), bodies))  # noqa: B023 - used at once
            assert won.count(True) == 1
            assert store.get(f"claims/{round_}") == bodies[won.index(True)]


def test_readers_see_whole_objects_while_they_are_replaced(store: ObjectStore) -> None:
    bodies = [bytes([number]) * 200_000 for number in range(4)]
    store.put(KEY, bodies[0])
    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(store.put, KEY, body) for body in bodies * 5]
        for _ in range(20):
            assert store.get(KEY) in bodies
    assert [write.result() for write in writes] == [None] * 20


PARTS = st.lists(st.text("ab-.é中\U0001f600", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join)
KEYS = PARTS.filter(lambda key: {".", ".."}.isdisjoint(key.split("/")))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.sampled_from(["create", "put", "delete"]), KEYS, st.binary(max_size=4)), max_size=12),
    prefix=st.text("ab-/é", max_size=3).filter(lambda prefix: "//" not in prefix and not prefix.startswith("/")),
    after=st.one_of(st.just(""), KEYS),
)
def test_it_behaves_like_a_dictionary(
    store: ObjectStore, steps: list[tuple[str, str, bytes]], prefix: str, after: str
) -> None:
    for key in list(store.list("")):
        store.delete(key)
    model: dict[str, bytes] = {}
    for method, key, body in steps:
        if any(other.startswith(f"{key}/") or key.startswith(f"{other}/") for other in model):
            continue  # one key under another: the directory store refuses these, and has a test of its own
        if method == "create":
            assert store.create(key, body) == (model.setdefault(key, body) == body)
        elif method == "put":
            store.put(key, body)
            model[key] = body
        else:
            store.delete(key)
            model.pop(key, None)
    assert {key: store.get(key) for key in store.list("")} == model
    expected = sorted((key for key in model if key.startswith(prefix) and key > after), key=str.encode)
    assert list(store.list(prefix, after)) == expected


def test_children_are_keys_and_folders_each_once(store: ObjectStore) -> None:
    for key in ("outbox/b/1", "outbox/b/2", "outbox/b-", "outbox/c/d/e", "outbox/é/1", "outbox/a", "outboxes/x", "o"):
        store.put(key, b"")
    assert list(store.children("outbox/")) == ["outbox/a", "outbox/b-", "outbox/b/", "outbox/c/", "outbox/é/"]
    assert list(store.children("outbox/", "outbox/b-")) == ["outbox/b/", "outbox/c/", "outbox/é/"]
    assert list(store.children("outbox/", "outbox/bb")) == ["outbox/c/", "outbox/é/"]
    assert list(store.children("outbox/c/d/")) == ["outbox/c/d/e"]
    assert list(store.children("nothing/")) == []
    store.delete("outbox/c/d/e")
    assert "outbox/c/" not in list(store.children("outbox/"))
    with pytest.raises(BadInput):
        list(store.children("../"))


def test_the_fake_pages_children_too() -> None:
    store = MemoryStore(time.time)
    names = [f"outbox/{number:04}" for number in range(2100)]
    for name in names:
        store.load(name if name[-1] in "05" else f"{name}/x", b"", 0)
    assert list(store.children("outbox/")) == [name if name[-1] in "05" else f"{name}/" for name in names]
    assert store.calls == [("list", "outbox/")] * 3
