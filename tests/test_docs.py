"""The READMEs tell the same in two languages, and what they tell is true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.zh-CN.md")
DOCUMENTS = sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("language", ["sh", "json"])
def test_both_readmes_show_the_same_commands_and_examples(language: str) -> None:
    english, chinese = (blocks(readme, language) for readme in READMES)
    assert english == chinese
    assert english


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_make_target_a_document_names_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = (ROOT / document).read_text(encoding="utf-8")
    code = "\n".join([*re.findall(r"`([^`\n]+)`", text), *blocks(str(document), "sh")])
    named = set(re.findall(r"\bmake ([a-z]+)\b", code))
    assert named <= targets
    assert {"demo", "test"} <= named or document.name not in READMES


def test_every_path_that_contributors_are_sent_to_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    made = {
        "build/application",
        "build/smarttag-relay.cdx.json",
        "build/smarttag-relay.zip",
        "local/recorded/NAME.json",
        "tests/smarttag/golden/NAME.json",
    }
    paths = set(re.findall(r"`([a-z.]+/[A-Za-z0-9_./-]*|[A-Za-z]+\.(?:md|yml|toml))`", text)) - made
    assert len(paths) > 20
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("record", sorted(ROOT.glob("docs/decisions/*.md")), ids=lambda record: record.name)
def test_a_decision_says_its_status_and_date(record: Path) -> None:
    title, _, status, date, _ = record.read_text(encoding="utf-8").split("\n", 4)
    assert re.fullmatch(r"# \d+\. .+", title)
    assert re.fullmatch(r"- Status: (accepted|superseded by \d{4})", status)
    assert re.fullmatch(r"- Date: 20\d\d-\d\d-\d\d", date)


def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    commands = [
        line for block in blocks("README.md", "sh") for line in block.splitlines() if line.startswith(".venv/bin/")
    ]
    assert commands
    for command in commands:
        program, *arguments = command.split()
        local = Path(sys.executable).with_name(Path(program).name)
        given = [str(ROOT / each) if (ROOT / each).exists() else each for each in arguments]
        done = subprocess.run([local, *given], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "万立骏" in done.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_to_files_lead_somewhere(document: Path) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    outside_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", outside_code)
    missing = [target for target in targets if not (ROOT / document).parent.joinpath(target).exists()]
    assert missing == []


@pytest.mark.parametrize("readme", READMES)
def test_readmes_name_every_command_of_the_command_line(readme: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("smarttag"), "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "demo" in done.stdout
    text = (ROOT / readme).read_text(encoding="utf-8")
    for command in ("summarise", "dead replay", "subscribers check"):
        assert f"smarttag {command}" in text
