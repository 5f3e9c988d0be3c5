"""What the core costs, compared with bare ``orjson.loads`` of the same data: ``python -m local.bench.core``.

CPU: ``summarise`` of a 20 MB VideoLabel and of a 50 MB OCR, envelope and all, against ``orjson.loads`` of the Data
alone with the collector as Python starts it, one after the other; the median round counts. Memory: the peak of a
process that summarises both in one response of 77 MB, against that of one that decodes it twice the naive way (Linux
only).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from shared.smarttag import summarise

CPU_BUDGET, MEMORY_BUDGET = 1.0, 0.9
ROUNDS = 9


def main() -> int:
    """Measure, print, and return 1 if a ratio is over its budget."""
    data = {"VideoLabel": video(), "OCR": ocr()}
    over = False
    for name, text in data.items():
        ratio, times = cpu(name, text)
        print(f"summarise of {len(text) / 1e6:.0f} MB {name} / orjson.loads of its Data, CPU:")
        print(f"  {ratio:.2f} (budget {CPU_BUDGET}; {times}; load {os.getloadavg()[0]:.1f})")
        over = over or ratio > CPU_BUDGET
    response = envelope(data)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "response.json"
        path.write_bytes(response)
        ours, naive = (peak(way, path) for way in ("summarise", "naive"))
    print(f"peak memory of summarise of a {len(response) / 1e6:.0f} MB response / decoding it twice:")
    print(f"  {ours / naive:.2f} (budget {MEMORY_BUDGET}; {ours:.0f} MB against {naive:.0f} MB)")
    return over or ours / naive > MEMORY_BUDGET


def cpu(name: str, text: bytes) -> tuple[float, str]:
    """Return the ratio of the median round, and that round in words."""
    response = envelope({name: text})
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        orjson.loads(text)
        middle = time.process_time()
        summarise(response)
        bare, ours = middle - start, time.process_time() - middle
        rounds.append((ours / bare, f"{ours * 1000:.0f} ms against {bare * 1000:.0f} ms"))
    return sorted(rounds)[ROUNDS // 2]


def peak(way: str, path: Path) -> float:
    """Return the peak of a process of its own in MB."""
    done = subprocess.run([sys.executable, "-m", "local.bench.core", way, str(path)], capture_output=True, check=True)
    return float(done.stdout)


def measure(way: str, path: Path) -> None:
    """Decode in this process and print its peak in MB."""
    response = path.read_bytes()
    if way == "summarise":
        kept: Any = summarise(response)
    else:
        kept = [orjson.loads(result["Data"]) for result in orjson.loads(response)["Results"]["Result"]]
    status = Path("/proc/self/status").read_text()  # unlike ru_maxrss not inherited from the parent
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
    del kept


def video(persons: int = 265, faces: int = 458, tags: int = 658, sights: int = 105) -> bytes:
    """Return a VideoLabel of about 20 MB."""
    luck = random.Random(1)

    def appearances(count: int, *, face: bool) -> list[dict[str, Any]]:
        found = []
        for frame in sorted(luck.randrange(14_400 * 25) for _ in range(count)):
            row: dict[str, Any] = {"from": round(frame * 0.04, 2), "to": round((frame + luck.randrange(100)) * 0.04, 2)}
            row["score"] = luck.randrange(1000) / 1000
            if face:
                x, y = luck.randrange(900), luck.randrange(500)
                row["position"] = {"leftTop": [x, y], "rightBottom": [x + luck.randrange(300), y + 200]}
                row |= {"scene": luck.choice(("closeUp", "medium-closeUp", "medium")), "timestamp": row["from"] + 0.04}
            found.append(row)
        return found

    people = [{"name": f"人物{i}", "category": "celebrity", "ratio": 0.1} for i in range(persons)]
    things = [{"mainTagName": "场景", "subTagName": f"标签{i}", "ratio": 0.1} for i in range(tags)]
    return orjson.dumps(
        {
            "persons": [person | {"occurrences": appearances(faces, face=True)} for person in people],
            "tags": [thing | {"occurrences": appearances(sights, face=False)} for thing in things],
        }
    )


def ocr(frames: int = 51_447, boxes: int = 7, distinct: int = 20_000) -> bytes:
    """Return an OCR of about 50 MB."""
    luck = random.Random(2)
    texts = [
        "".join(chr(luck.randrange(0x4E00, 0x6000)) for _ in range(luck.randrange(2, 14))) for _ in range(distinct)
    ]

    def box() -> dict[str, Any]:
        x, y = luck.randrange(900), luck.randrange(500)
        position = {"leftTop": [x, y], "rightBottom": [x + 100, y + 20]}
        score = luck.randrange(1000) / 1000
        return {"content": luck.choice(texts), "position": position, "score": score, "textType": "0"}

    details = [{"timestamp": round(i * 0.28, 2), "info": [box() for _ in range(boxes + i % 2)]} for i in range(frames)]
    return orjson.dumps({"details": details})


def envelope(data: dict[str, bytes]) -> bytes:
    """Return the response of a job with these results."""
    results = [{"Type": name, "Data": text.decode()} for name, text in data.items()]
    return orjson.dumps({"JobStatus": "Success", "Results": {"Result": results}, "UserData": ""})


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], Path(sys.argv[2]))
    else:
        sys.exit(main())
