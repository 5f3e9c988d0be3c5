"""What reading a response costs, compared with bare decoding of the same data.

CPU: ``summarise`` of the whole response against ``orjson.loads`` of the Data alone, with the collector as Python starts
it. Memory: the peak of a process that summarises both large results in one response, against that of one that decodes
it twice the naive way.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from local.bench import inputs
from local.bench.measuring import Line, Sample, Way, cpu, interleaved, ours, peak, theirs
from local.bench.target import Target, can_import

SIZES = {"video": ("VideoLabel", 20), "ocr": ("OCR", 50)}
TYPED = (("msgspec", "typed"), ("pydantic", "validated"))  # what they need, and the peers
NAMES = {"typed": "msgspec, typed", "validated": "json and pydantic"}
TYPICAL = {"VideoLabel": 1, "OCR": 5}
MAKERS = {"VideoLabel": inputs.video, "OCR": inputs.ocr}


def measure(target: Target, folder: Path, rounds: int, scale: float) -> Iterator[Line]:
    """Yield the lines; the inputs are written to ``folder``, ``scale`` times as large as real ones."""
    typed = [peer for module, peer in TYPED if can_import(target, module)]
    large = {}
    for key, (kind, megabytes) in SIZES.items():
        large[kind] = MAKERS[kind](megabytes * scale)
        yield from _result(target, folder, (key, kind, large[kind]), rounds, typed)
    both = inputs.envelope(large)
    del large
    yield from _peak(target, _file(folder, "both", both), f"{len(both) / 1e6:.3g} MB", rounds)
    job = {kind: MAKERS[kind](megabytes * scale) for kind, megabytes in TYPICAL.items()}
    yield from _typical(target, _file(folder, "typical", inputs.envelope(job)), rounds)
    yield from _message(target, _file(folder, "message", inputs.message("0" * 32)), rounds)


def _result(
    target: Target, folder: Path, result: tuple[str, str, bytes], rounds: int, typed: list[str]
) -> Iterator[Line]:
    key, kind, data = result
    name = f"{len(data) / 1e6:.3g} MB {kind}"
    plain, response = _file(folder, "data", data), _file(folder, "response", inputs.envelope({kind: data}))
    ways: dict[str, Way] = {
        "summarise": partial(ours, target, "summarise", response),
        "orjson.loads": partial(theirs, target, "loads", plain),
        "all artifacts": partial(ours, target, "artifacts", response),
        "orjson.loads, collector off": partial(theirs, target, "loads_uncollected", plain),
    }
    for peer in typed:
        ways[NAMES[peer]] = partial(theirs, target, "typed", plain, kind, peer)
    samples = interleaved(ways, rounds)
    bare = samples.pop("orjson.loads")
    yield cpu(f"{key}-cpu", f"summarise of {name} / orjson.loads", samples.pop("summarise"), bare, str(target))
    yield cpu("", f"all artifacts of {name} / orjson.loads", samples.pop("all artifacts"), bare, str(target))
    for way, taken in samples.items():
        yield cpu("", f"{way}, of {name} / orjson.loads", taken, bare, f"peer, {target.minor}")


def _peak(target: Target, response: str, size: str, rounds: int) -> Iterator[Line]:
    ways: dict[str, Way] = {
        "ours": partial(ours, target, "summarise", response),
        "twice": partial(theirs, target, "loads_twice", response),
    }
    samples = interleaved(ways, min(rounds, 3))  # memory hardly differs by round
    what = f"peak of summarise of a {size} response / orjson.loads twice"
    yield peak("response-peak", what, samples["ours"], samples["twice"], str(target))


def _typical(target: Target, response: str, rounds: int) -> Iterator[Line]:
    ways: dict[str, Way] = {
        "ours": partial(ours, target, "summarise", response),
        "twice": partial(theirs, target, "loads_twice", response),
    }
    samples = interleaved(ways, rounds)
    what = "summarise of a typical job (1 MB VideoLabel, 5 MB OCR) / orjson.loads twice"
    yield cpu("", what, samples["ours"], samples["twice"], str(target))


def _message(target: Target, event: str, rounds: int) -> Iterator[Line]:
    samples: dict[str, list[Sample]] = interleaved(
        {
            "ours": partial(ours, target, "messages", event),
            "theirs": partial(theirs, target, "messages_loads", event),
        },
        rounds,
    )
    what = "5,000 messages of 500 bytes, parsed / orjson.loads twice"
    yield cpu("", what, samples["ours"], samples["theirs"], str(target))


def _file(folder: Path, name: str, data: bytes) -> str:
    path = folder / f"{name}.json"
    path.write_bytes(data)
    return str(path)
