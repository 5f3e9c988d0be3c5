"""The report before judges that nobody here wrote: the Nu HTML checker, axe-core, and Firefox."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shared.smarttag.model import Analysis
from tests import browser, needs

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Reports = dict[str, tuple[Analysis, Path]]
PACKAGES = needs.NODE_FOLDER / "node_modules"
SCREENSHOTS = needs.ROOT / "build" / "screenshots"
SOAK = bool(os.environ.get("SOAK"))
LOOKS = [("rich", 1280, "light"), ("sixty-alerts", 390, "dark"), ("image", 390, "light")]
RUN = """axe.run({resultTypes: ["violations"]})
    .then(result => result.violations.map(found => [found.id, found.nodes.length, found.nodes[0].html]))"""


@pytest.mark.needs("java", "node")
def test_html_and_css_are_valid(reports: Reports) -> None:
    """Not a finding."""
    checker = str(PACKAGES / "vnu-jar" / "build" / "dist" / "vnu.jar")
    files = [str(file) for _, file in reports.values()]
    command = ["java", "-Xss4m", "-XX:TieredStopAtLevel=1", "-jar", checker, "--stdout", "--format", "json", *files]
    run = subprocess.run(command, capture_output=True, check=False, timeout=300)
    messages = json.loads(run.stdout)["messages"]
    found = [f"{Path(m['url']).name}:{m.get('lastLine')} {m['message']}" for m in messages]
    # The names of this one are not in Unicode's normal form; what the vendor named is shown as it came.
    as_they_came = [line for line in found if line.startswith("hostile.html:") and "Normalization Form C" in line]
    assert [line for line in found if line not in as_they_came] == []


@pytest.mark.needs("chromium", "node")
def test_axe_finds_nothing(chromium: Browser, reports: Reports) -> None:
    axe = (PACKAGES / "axe-core" / "axe.min.js").read_text("utf-8")
    every = [(name, width, look) for name in reports for width in (390, 1280) for look in ("light", "dark")]
    for name, width, scheme in every if SOAK else LOOKS:
        with browser.watched(chromium, viewport={"width": width, "height": 900}, color_scheme=scheme) as seen:
            seen.page.goto(reports[name][1].as_uri())
            seen.page.evaluate(axe)
            assert (name, width, scheme, seen.page.evaluate(RUN)) == (name, width, scheme, [])


@pytest.mark.needs("firefox-esr")
@pytest.mark.skipif(not SOAK, reason="one more browser: runs under make soak")
@pytest.mark.parametrize("name", ["rich", "image", "three-hours"])
@pytest.mark.parametrize("width", [1280, 500])  # Firefox makes no narrower window
def test_firefox_shows_it(reports: Reports, tmp_path: Path, name: str, width: int) -> None:
    """The picture is there to be looked at; it is as large as asked for, and not blank."""
    proxies = {f"network.proxy.{kind}": "127.0.0.1" for kind in ("http", "ssl", "socks")}
    ports = {f"network.proxy.{kind}_port": 9 for kind in ("http", "ssl", "socks")}
    settings = {"network.proxy.type": 1, **proxies, **ports}  # it calls home otherwise
    (tmp_path / "user.js").write_text(
        "".join(f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in settings.items())
    )
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    picture = SCREENSHOTS / f"report-{name}-{width}-firefox.png"
    command = ["firefox-esr", "--headless", "--profile", str(tmp_path), "--window-size", f"{width},2400"]
    command += ["--screenshot", str(picture), reports[name][1].as_uri()]
    subprocess.run(command, capture_output=True, check=True, timeout=120, env={**os.environ, "HOME": str(tmp_path)})
    content = picture.read_bytes()
    assert struct.unpack(">II", content[16:24])[0] == width
    assert len(content) > 50_000
