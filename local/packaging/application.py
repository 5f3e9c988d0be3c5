"""Make the application for the registry of Serverless Devs: what ``s init`` copies, and ``s deploy`` deploys as it is.

It needs neither make nor Python where it is deployed: the package lies beside its template.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from shared import __version__

ROOT = Path(__file__).parents[2]
_ACTIONS = ("# Global, so that", "resources:\n")  # what is built here, is built there
# In template.yml, and what stands there in the application: parameters of publish.yaml.
_INSTEAD = {
    "${env('REGION', 'cn-shanghai')}": "'{{ region }}'",
    "acs:ram::${config('AccountID')}:role/${env('RELAY_ROLE', 'smarttag-relay')}": "'{{ roleArn }}'",
    "python${env('RELAY_PYTHON', '3.10')}": "python3.10",
    "  # 3.12 is the other choice (docs/deploy.md says what it costs); make build builds for the same one.\n": "",
    "./build/smarttag-relay.zip": "./smarttag-relay.zip",
    "${env('OUTPUT_URL')}": "oss://{{ bucket }}/smarttag",
    "    # No default: without a place to write to, s stops here and names the variable.\n": "",
    "${env('MNS_TOPIC', 'smarttag')}": "{{ topic }}",
    "${env('FAILED_QUEUE', 'smarttag-failed')}": "{{ failedQueue }}",
}


def make(archive: Path, folder: Path) -> Path:
    """Fill ``folder`` with the application around the package ``archive``; return it."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "src").mkdir(parents=True)
    shutil.copyfile(archive, folder / "src" / "smarttag-relay.zip")
    (folder / "src" / "s.yaml").write_text(template(), encoding="utf-8")
    described = (Path(__file__).parent / "publish.yaml").read_text(encoding="utf-8")
    (folder / "publish.yaml").write_text(described.replace("VERSION", __version__), encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (folder / "version.md").write_text(changes, encoding="utf-8")
    for name in ("README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, folder / ("readme.md" if name == "README.md" else name))
    return folder


def template() -> str:
    """Return template.yml with parameters in the place of what the project's own tools fill in."""
    text = (ROOT / "template.yml").read_text(encoding="utf-8")
    start, end = (text.index(mark) for mark in _ACTIONS)
    text = text[:start] + text[end:]
    for old, new in _INSTEAD.items():
        if text.count(old) != 1:
            raise ValueError(f"template.yml holds {text.count(old)} times {old!r}, of which the application needs one")
        text = text.replace(old, new)
    return text
