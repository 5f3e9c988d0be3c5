"""The report as people see it, in Chromium. Pictures of it are kept under build/screenshots."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local.recorded import jobs
from shared.smarttag import analyse
from shared.smarttag.model import Analysis, Person, Range, Tag
from shared.smarttag.report import render
from tests import browser
from tests.smarttag import report_samples as samples

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.needs("chromium")

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
FILES = ("summary.json", "subtitles.vtt", "timeline.ndjson")
NEAR = 1.5  # CSS pixels


def analyses() -> dict[str, Analysis]:
    """Return recorded jobs, the documented and the largest among them, and what nobody recorded."""
    recorded = ((name, jobs()[name]) for name in ("documented", "rich", "large", "image", "odd"))
    return {
        **{name: analyse(job.response, job.job_id) for name, job in recorded},
        "dense": samples.large(rows=80, ranges=150, lines=40),
        "hostile": samples.small(*samples.HOSTILE),
        "failed": samples.bare("Fail", message="InvalidFile"),
        "empty": samples.bare(),
    }


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Analysis, Path]]:
    folder = tmp_path_factory.mktemp("reports")
    found = {}
    for name, analysis in analyses().items():
        file = folder / f"{name}.html"
        file.write_bytes(render(analysis, FILES))
        found[name] = (analysis, file)
    return found


@pytest.mark.parametrize("name", ["documented", "rich", "large", "hostile", "image", "odd", "failed", "empty"])
def test_it_is_quiet_fits_and_is_photographed(
    chromium: Browser, pages: dict[str, tuple[Analysis, Path]], name: str
) -> None:
    """No console message, no request but the file itself, nothing wider than the screen, in both widths and schemes."""
    address = pages[name][1].as_uri()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for width in (1280, 390):
        for scheme in ("light", "dark"):
            with browser.watched(chromium, viewport={"width": width, "height": 900}, color_scheme=scheme) as seen:
                seen.page.goto(address)
                assert seen.page.evaluate("document.documentElement.scrollWidth") == width
                # 8,000 pixels show enough; a two-hour transcript is ten times that.
                height = min(seen.page.evaluate("document.documentElement.scrollHeight"), 8_000)
                seen.page.set_viewport_size({"width": width, "height": height})
                seen.page.screenshot(path=SCREENSHOTS / f"report-{name}-{width}-{scheme}.png")
                assert (seen.console, seen.errors, seen.requests) == ([], [], [address])


MEASURE = """() => ({
  ticks: [...document.querySelectorAll('.ticks i')].map((tick, index, all) => {
    const box = tick.getBoundingClientRect();
    const last = tick.classList.contains('last');
    return [tick.textContent, index === 0 ? box.left : last ? box.right : (box.left + box.right) / 2];
  }),
  rows: [...document.querySelectorAll('.row:has(svg)')].map(row => {
    const path = row.querySelector('path'), matrix = path.getScreenCTM(), bars = [];
    let at = 0;
    for (const [, gap, width] of path.getAttribute('d').matchAll(/m(-?\\d+) \\d+h(\\d+)/g)) {
      const left = at + Number(gap);
      at = left + Number(width);
      bars.push([left, at].map(x => matrix.a * x + matrix.e));
    }
    const box = path.getBoundingClientRect();
    const name = row.querySelector('th bdi')?.textContent;
    return {name, bars, box: [box.left, box.right], middle: (box.top + box.bottom) / 2};
  }),
})"""


def milliseconds(label: str) -> float:
    """Read the time written at a tick."""
    total = 0.0
    for part in label.split(":"):
        total = total * 60 + float(part)
    return total * 1000


def expected(ranges: tuple[Range, ...], ticks: list[Any]) -> list[tuple[float, float]]:
    """Return where ranges belong on the screen, by the first and the last labelled tick."""
    (first, left), (last, right) = ticks[0], ticks[-1]
    scale = (right - left) / (milliseconds(last) - milliseconds(first))
    return [(left + start * scale, left + end * scale) for start, end in ranges]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["documented", "large", "dense"])
def test_bars_lie_where_the_times_say(
    chromium: Browser, pages: dict[str, tuple[Analysis, Path]], name: str, width: int
) -> None:
    analysis, file = pages[name]
    with browser.watched(chromium, viewport={"width": width, "height": 900}) as seen:
        seen.page.goto(file.as_uri())
        measured = seen.page.evaluate(MEASURE)
    summary = analysis.summary
    named = {p.name: p.appearances for p in summary.persons} | {t.name: t.appearances for t in summary.tags}
    rows = [row for row in measured["rows"] if row["name"] in named]
    assert len(rows) >= min(len(named), 80)
    for row in rows:
        wanted = expected(named[row["name"]], measured["ticks"])
        bars = row["bars"]
        assert row["box"] == pytest.approx([bars[0][0], bars[-1][1]], abs=NEAR)
        for start, end in wanted:
            assert any(left - NEAR <= start and end <= right + NEAR for left, right in bars), (row["name"], start, end)
        for left, right in bars:
            assert any(abs(left - start) <= NEAR for start, _ in wanted), (row["name"], left)
            assert any(abs(right - end) <= NEAR + 2 for _, end in wanted), (row["name"], right)  # a hair is widened


COLOURS = """async ([png, points]) => {
  const picture = await (await fetch('data:image/png;base64,' + png)).blob().then(createImageBitmap);
  const canvas = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
  canvas.drawImage(picture, 0, 0);
  const hex = number => number.toString(16).padStart(2, '0');
  return points.map(([x, y]) => '#' + [...canvas.getImageData(x, y, 1, 1).data].slice(0, 3).map(hex).join(''));
}"""


@pytest.mark.parametrize(("row_name", "colour"), [("万立骏", "alert"), ("未知人脸2", "unknown"), ("公寓", "tag")])
def test_the_bars_are_really_painted_there(
    chromium: Browser, pages: dict[str, tuple[Analysis, Path]], row_name: str, colour: str
) -> None:
    """Look at the pixels in the middle of every appearance and of every gap before, between and after them."""
    analysis, file = pages["documented"]
    entries: list[Person | Tag] = [*analysis.summary.persons, *analysis.summary.tags]
    appearances = next(entry.appearances for entry in entries if entry.name == row_name)
    with browser.watched(chromium, viewport={"width": 1280, "height": 3_000}) as seen:
        seen.page.goto(file.as_uri())
        measured = seen.page.evaluate(MEASURE)
        palette = "names => names.map(name => getComputedStyle(document.body).getPropertyValue(name))"
        painted, ground = seen.page.evaluate(palette, [f"--{colour}", "--sheet"])
        photograph = base64.b64encode(seen.page.screenshot()).decode()
        row = next(row for row in measured["rows"] if row["name"] == row_name)
        at = expected(appearances, measured["ticks"])
        edges = [measured["ticks"][0][1], *(x for bar in at for x in bar)]
        inside = [(start + end) / 2 for start, end in at]
        outside = [(edges[i] + edges[i + 1]) / 2 + 2 for i in range(0, len(edges) - 1, 2)]  # clear of the grid's lines
        height = row["middle"] - (5 if colour == "alert" else 0)  # whose bar is two rails with nothing between
        seen.page.goto("about:blank")
        points = [[round(x), round(height)] for x in (*inside, *outside)]
        colours = seen.page.evaluate(COLOURS, [photograph, points])
    assert colours == [painted] * len(inside) + [ground] * len(outside)


def test_hostile_names_are_seen_as_text(chromium: Browser, pages: dict[str, tuple[Analysis, Path]]) -> None:
    with browser.watched(chromium, viewport={"width": 390, "height": 900}) as seen:
        seen.page.goto(pages["hostile"][1].as_uri())
        text = seen.page.inner_text("body")
        tags = set(seen.page.evaluate("[...document.querySelectorAll('body *')].map(e => e.localName)"))
    assert "<script>alert(1)</script>" in text
    assert '"><img src=x onerror=alert(1)>' in text
    assert "{{ 7*7 }}{% raw %}" in text
    assert not tags & {"script", "img", "style"}


def test_a_row_opens_to_its_exact_times_by_keyboard(chromium: Browser, pages: dict[str, tuple[Analysis, Path]]) -> None:
    with browser.watched(chromium, viewport={"width": 1280, "height": 900}) as seen:
        seen.page.goto(pages["documented"][1].as_uri())
        row = seen.page.locator(".row", has_text="万立骏").first
        row.locator("summary").focus()
        assert row.locator("summary").evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
        seen.page.keyboard.press("Enter")
        times = row.locator(".ranges li").all_inner_texts()
    assert times == ["0:02.44–0:05.32", "0:11.44–0:13.56", "0:16.44–0:19.20", "0:24.44–0:26.32", "0:42.60–0:45.08"]


def test_a_phone_still_reads_a_table_out(chromium: Browser, pages: dict[str, tuple[Analysis, Path]]) -> None:
    """The grid of the narrow layout must not take rows and their headers from a screen reader."""
    with browser.watched(chromium, viewport={"width": 390, "height": 900}) as seen:
        seen.page.goto(pages["documented"][1].as_uri())
        session = seen.page.context.new_cdp_session(seen.page)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in nodes if not node.get("ignored")]
    names = [node["name"]["value"] for node in nodes if node["role"]["value"] == "rowheader" and node.get("name")]
    assert "table" in roles
    assert roles.count("row") >= 11
    assert any(re.match(r"万立骏 .*政治人物", name) for name in names)


def test_printing_is_light_and_nothing_is_cut(chromium: Browser, pages: dict[str, tuple[Analysis, Path]]) -> None:
    with browser.watched(
        chromium, viewport={"width": 690, "height": 1_000}, color_scheme="dark"
    ) as seen:  # A4 less margins
        seen.page.goto(pages["documented"][1].as_uri())
        seen.page.emulate_media(media="print", color_scheme="dark")
        assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 690
        assert seen.page.evaluate("getComputedStyle(document.querySelector('.row')).breakInside") == "avoid"
        assert seen.page.pdf(prefer_css_page_size=True).startswith(b"%PDF-")
