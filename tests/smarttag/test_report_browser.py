"""The report as people see it, in Chromium. Pictures of it are kept under build/screenshots.

``SOAK=1`` looks at every sample at every width, in light, dark and print, and keeps all pictures.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shared.smarttag.model import Analysis, Chapter, Person, Range, Tag
from shared.smarttag.report import render
from tests import browser
from tests.smarttag import report_samples as samples

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.needs("chromium")

Reports = dict[str, tuple[Analysis, Path]]
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
NEAR = 1.5  # CSS pixels
PAPER = 688  # A4 less margins
SAMPLES = (
    "documented", "rich", "image", "large", "odd", "fail", "sixty-alerts", "three-hours", "wordy", "hostile", "empty",
)  # fmt: skip
KEPT = {"documented", "rich", "hostile"}
LOOKS = [(1280, "light"), (390, "dark")]
if os.environ.get("SOAK"):
    KEPT.update(SAMPLES)
    LOOKS = [(width, look) for width in (320, 390, 768, 820, 1280) for look in ("light", "dark")] + [(PAPER, "print")]


@pytest.mark.parametrize("name", SAMPLES)
def test_it_is_quiet_and_fits(chromium: Browser, reports: Reports, name: str) -> None:
    """No console message, no request but the file itself, nothing wider than the screen."""
    address = reports[name][1].as_uri()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for width, look in LOOKS:
        scheme = "dark" if look == "dark" else "light"
        with browser.watched(chromium, viewport={"width": width, "height": 900}, color_scheme=scheme) as seen:
            seen.page.goto(address)
            seen.page.emulate_media(media="print" if look == "print" else "screen")
            assert seen.page.evaluate("document.documentElement.scrollWidth") == width
            assert (seen.console, seen.errors, seen.requests) == ([], [], [address])
            if name not in KEPT:
                continue
            # 8,000 pixels show enough; a printed transcript of three hours is many times that.
            height = min(seen.page.evaluate("document.documentElement.scrollHeight"), 8_000)
            seen.page.set_viewport_size({"width": width, "height": height})
            seen.page.screenshot(path=SCREENSHOTS / f"report-{name}-{width}-{look}.png")


LABELS = """() => [...document.querySelectorAll('.ticks i')].map(tick => tick.getBoundingClientRect())
    .filter(box => box.width).map(box => [box.left, box.right])"""


@pytest.mark.parametrize("name", ["documented", "large", "three-hours"])
def test_labels_of_the_axis_never_overlap(chromium: Browser, reports: Reports, name: str) -> None:
    """At any width of a screen, and on paper; there are always some, and three where there is room."""
    with browser.watched(chromium, viewport={"width": 1280, "height": 900}) as seen:
        seen.page.goto(reports[name][1].as_uri())
        for width in (320, 325, 326, 390, 475, 476, 720, 721, 768, 820, 911, 912, 1000, 1001, 1175, 1176, 1280, PAPER):
            seen.page.emulate_media(media="print" if width == PAPER else "screen")
            seen.page.set_viewport_size({"width": width, "height": 900})
            labels = seen.page.evaluate(LABELS)
            assert all(before[1] + 4 <= after[0] for before, after in pairwise(labels)), (width, labels)
            assert len(labels) >= (2 if width in (320, 325, 721) else 3), width
            assert seen.page.evaluate("document.documentElement.scrollWidth") == width


MEASURE = """() => ({
  ticks: [...document.querySelectorAll('.ticks i')].filter(tick => tick.offsetWidth).map((tick, index) => {
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
def test_bars_lie_where_the_times_say(chromium: Browser, reports: Reports, name: str, width: int) -> None:
    analysis, file = reports[name]
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
def test_the_bars_are_really_painted_there(chromium: Browser, reports: Reports, row_name: str, colour: str) -> None:
    """Look at the pixels in the middle of every appearance and of every gap before, between and after them."""
    analysis, file = reports["documented"]
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


def test_hostile_names_are_seen_as_text(chromium: Browser, reports: Reports) -> None:
    with browser.watched(chromium, viewport={"width": 390, "height": 900}) as seen:
        seen.page.goto(reports["hostile"][1].as_uri())
        text = seen.page.inner_text("body")
        tags = set(seen.page.evaluate("[...document.querySelectorAll('body *')].map(e => e.localName)"))
    assert "<script>alert(1)</script>" in text
    assert '"><img src=x onerror=alert(1)>' in text
    assert "{{ 7*7 }}{% raw %}" in text
    assert not tags & {"script", "img", "style"}


BOX = """e => { const box = e.getBoundingClientRect();
    return [box.left, box.top + scrollY, box.right, box.bottom + scrollY]; }"""


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_a_row_opens_by_keyboard_and_under_itself(chromium: Browser, reports: Reports, width: int) -> None:
    """All its times are there; the control stays where it is, and what opens covers neither it nor bar nor name."""
    with browser.watched(chromium, viewport={"width": width, "height": 900}) as seen:
        seen.page.goto(reports["documented"][1].as_uri())
        row = seen.page.locator("#person-1")
        control = row.locator("summary")
        before = control.evaluate(BOX)
        control.focus()
        assert control.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
        seen.page.keyboard.press("Enter")
        times = [time.strip() for time in row.locator(".ranges li").all_inner_texts()]
        assert control.evaluate(BOX) == pytest.approx(before)
        left, top, right, _ = row.locator(".panel").evaluate(BOX)
        assert top >= max(before[3], row.locator("svg").evaluate(BOX)[3])
        name = row.locator("bdi.name").evaluate(BOX)
        assert left >= name[2] or top >= name[3]
        assert (left >= 0, right <= width) == (True, True)
    assert times == ["0:02.44–0:05.32", "0:11.44–0:13.56", "0:16.44–0:19.20", "0:24.44–0:26.32", "0:42.60–0:45.08"]


def test_the_numbers_of_a_row_stand_under_their_heads_on_a_phone(chromium: Browser, reports: Reports) -> None:
    with browser.watched(chromium, viewport={"width": 390, "height": 900}) as seen:
        seen.page.goto(reports["documented"][1].as_uri())
        heads = seen.page.locator(".cells > span")
        numbers = seen.page.locator("#person-1 summary > *")
        assert heads.all_inner_texts() == ["出镜时长 On screen", "占比 Share", "次数 Times"]
        assert [heads.nth(i).evaluate(BOX)[0] for i in range(3)] == pytest.approx(
            [numbers.nth(i).evaluate(BOX)[0] for i in range(3)]
        )


@pytest.mark.parametrize("width", [1280, 390])
def test_the_head_stays_with_its_edge_and_an_alert_leads_below_it(
    chromium: Browser, reports: Reports, width: int
) -> None:
    with browser.watched(chromium, viewport={"width": width, "height": 700}) as seen:
        seen.page.goto(reports["sixty-alerts"][1].as_uri())
        seen.page.locator(".fold summary").first.click()
        link = seen.page.locator(".alert li a").last
        link.click()
        head = seen.page.locator("thead th").last
        assert seen.page.evaluate("document.querySelector(':target th bdi').textContent") == link.inner_text()
        assert head.evaluate("e => getComputedStyle(e).borderBottomWidth") == "1px"
        assert head.evaluate("e => getComputedStyle(e.closest('table')).borderCollapse") == "separate"
        assert seen.page.locator(".ticks").evaluate(BOX)[1] < seen.page.evaluate("scrollY") + 20
        assert seen.page.locator(":target").evaluate(BOX)[1] >= head.evaluate(BOX)[3]


def test_long_titles_and_names_are_cut_until_they_are_opened(chromium: Browser, reports: Reports) -> None:
    analysis, file = reports["wordy"]
    with browser.watched(chromium, viewport={"width": 390, "height": 900}) as seen:
        seen.page.goto(file.as_uri())
        title, name = seen.page.locator("h1"), seen.page.locator("#person-1 .name")
        height = "e => e.getBoundingClientRect().height / parseFloat(getComputedStyle(e).lineHeight)"
        assert [title.evaluate(height), name.evaluate(height)] == pytest.approx([3, 2], abs=0.1)
        seen.page.locator(".title summary").click()
        seen.page.locator("#person-1 summary").click()
        assert title.evaluate(height) > 5
        assert name.evaluate(height) > 5
        assert title.inner_text() == analysis.summary.title
        assert analysis.summary.persons[0].name in seen.page.locator("#person-1 .facts").inner_text()


def test_what_is_folded_is_found_by_the_browser(chromium: Browser, reports: Reports) -> None:
    """Of 2,500 lines most are folded; a search opens them, as does a link to a text of the page."""
    with browser.watched(chromium, viewport={"width": 1280, "height": 900}) as seen:
        seen.page.goto(reports["three-hours"][1].as_uri())
        line = seen.page.get_by_text("第2400句。")
        assert not line.is_visible()
        assert seen.page.locator("#words ~ .words > div").first.evaluate("e => e.offsetHeight") < 6_000
        seen.page.goto("about:blank")
        seen.page.goto(f"{reports['three-hours'][1].as_uri()}#:~:text=第2400句。")
        line.wait_for(state="visible", timeout=5_000)


CUT = """() => [...document.querySelectorAll('.blocks b')].filter(b => {
    const [number, block] = [b, b.parentElement].map(e => e.getBoundingClientRect());
    return number.top < block.bottom - 1 && number.right > block.right + 0.5;
}).map(b => b.textContent)"""
TOUCHING = """() => [...document.querySelectorAll('.row summary')].filter(summary => {
    const boxes = [...summary.children].map(cell => {
        const text = document.createRange();
        text.selectNodeContents(cell);
        return text.getBoundingClientRect();
    }).filter(box => box.width);
    return boxes.some((box, i) => i && box.left < boxes[i - 1].right + 4);
}).map(summary => summary.innerText)"""
TOPS = (
    "() => [...new Set([...document.querySelectorAll('.figures dd')].map(e => e.getBoundingClientRect().top))].length"
)


@pytest.mark.parametrize("name", ["rich", "three-hours"])
@pytest.mark.parametrize("width", [1280, 768, 390, PAPER])
def test_figures_stand_clear_and_whole(chromium: Browser, reports: Reports, name: str, width: int) -> None:
    """Numbers of a row touch no other, those of chapters are never cut, those at the top stand on one line."""
    with browser.watched(chromium, viewport={"width": width, "height": 900}) as seen:
        seen.page.goto(reports[name][1].as_uri())
        seen.page.emulate_media(media="print" if width == PAPER else "screen")
        assert seen.page.evaluate(CUT) == []
        assert seen.page.evaluate(TOUCHING) == []
        assert width == 390 or seen.page.evaluate(TOPS) == 1  # a phone has three lines of them


@pytest.mark.parametrize(("width", "count", "shown"), [(1280, 20, 20), (390, 20, 9), (390, 40, 0)])
def test_no_number_of_a_chapter_is_cut_to_another(
    chromium: Browser, tmp_path: Path, width: int, count: int, shown: int
) -> None:
    job = samples.three_hours()
    chapters = tuple(Chapter(i * 10_800_000 // count, (i + 1) * 10_800_000 // count, "部分", "") for i in range(count))
    page = tmp_path / "report.html"
    page.write_bytes(render(dataclasses.replace(job, summary=dataclasses.replace(job.summary, chapters=chapters))))
    with browser.watched(chromium, viewport={"width": width, "height": 900}) as seen:
        seen.page.goto(page.as_uri())
        assert seen.page.evaluate(CUT) == []
        in_sight = "b => b.offsetTop < b.parentElement.clientHeight"
        assert sum(number.evaluate(in_sight) for number in seen.page.locator(".blocks b").all()) == shown


def test_paper_does_not_repeat_the_times_of_speech(chromium: Browser, reports: Reports) -> None:
    with browser.watched(chromium, viewport={"width": PAPER, "height": 900}) as seen:
        seen.page.goto(reports["three-hours"][1].as_uri())
        seen.page.emulate_media(media="print")
        seen.page.get_by_text("第2400句。").wait_for(state="visible")
        assert not seen.page.locator(".speech .panel").is_visible()


def accessibility(page: Page) -> list[tuple[str, str]]:
    """Return role and name of everything a screen reader meets."""
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node.get("ignored")]


def test_a_phone_still_reads_a_table_out(chromium: Browser, reports: Reports) -> None:
    """The layout of a phone must not take rows and their headers from a screen reader."""
    with browser.watched(chromium, viewport={"width": 390, "height": 900}) as seen:
        seen.page.goto(reports["documented"][1].as_uri())
        nodes = accessibility(seen.page)
    roles = [role for role, _ in nodes]
    assert "table" in roles
    assert roles.count("row") >= 11
    assert any(re.match(r"万立骏 .*政治人物", name) for role, name in nodes if role == "rowheader")


def test_controls_say_whose_they_are_and_bars_all_their_times(chromium: Browser, reports: Reports) -> None:
    analysis, file = reports["documented"]
    with browser.watched(chromium, viewport={"width": 1280, "height": 900}) as seen:
        seen.page.goto(file.as_uri())
        nodes = accessibility(seen.page)
    controls = [name for role, name in nodes if role == "DisclosureTriangle"]
    bars = [re.findall(r"[\d:.]+", name) for role, name in nodes if role == "image"]
    entries: list[Person | Tag] = [*analysis.summary.persons, *analysis.summary.tags]
    assert controls[0] == "万立骏 12.12 s 25.2% 5×"
    assert [name.split()[0] for name in controls] == [entry.name for entry in entries]
    assert [[milliseconds(time) for time in bar] for bar in bars] == [
        [pytest.approx(ms) for span in entry.appearances for ms in span] for entry in entries
    ]


def test_forced_colours_leave_the_bars(chromium: Browser, reports: Reports) -> None:
    with browser.watched(chromium, viewport={"width": 1280, "height": 2_000}, forced_colors="active") as seen:
        seen.page.goto(reports["rich"][1].as_uri())
        strokes = "[...document.querySelectorAll('.bar path')].map(e => getComputedStyle(e).stroke)"
        text = seen.page.evaluate("getComputedStyle(document.body).color")
        assert set(seen.page.evaluate(strokes)) == {text}
        seen.page.screenshot(path=SCREENSHOTS / "report-rich-1280-forced.png")


SHOWN = """() => [...document.querySelectorAll(
    'tr:not(.speech) .panel, .fold > ol, .fold > ul, .warnings details > ul',
)].map(e => e.checkVisibility({contentVisibilityAuto: true}) && e.offsetHeight > 0)"""


@pytest.mark.parametrize("name", ["documented", "three-hours", "wordy"])
def test_paper_is_light_and_opens_what_is_closed(chromium: Browser, reports: Reports, name: str) -> None:
    with browser.watched(chromium, viewport={"width": PAPER, "height": 1_000}, color_scheme="dark") as seen:
        seen.page.goto(reports[name][1].as_uri())
        assert not any(seen.page.evaluate(SHOWN))
        seen.page.emulate_media(media="print", color_scheme="dark")
        seen.page.wait_for_function(f"({SHOWN})().every(Boolean)")
        assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= PAPER
        assert seen.page.evaluate("getComputedStyle(document.querySelector('#person-1')).breakInside") == "avoid"
        cut = "e => e.clientHeight && e.scrollHeight > e.clientHeight + 4"
        assert not seen.page.evaluate(f"[...document.querySelectorAll('h1, .name')].some({cut})")
        if os.environ.get("SOAK") or name == "documented":
            paper = seen.page.pdf(prefer_css_page_size=True)
            (SCREENSHOTS / f"report-{name}.pdf").write_bytes(paper)
            assert paper.startswith(b"%PDF-")
