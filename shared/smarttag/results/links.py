"""Process and Subtitle: files the vendor keeps elsewhere, for half a year."""

from __future__ import annotations

from shared.smarttag.builder import SummaryBuilder
from shared.smarttag.checked_values import Json, shown, without_nul
from shared.smarttag.model import Link

_NO_LINKS = frozenset({"success", "message"})


def is_url(value: Json) -> bool:
    """Return whether a value is an http or https URL and nothing else; blanks around it do not count."""
    return isinstance(value, str) and value.lstrip()[:8].lower().startswith(("http://", "https://"))


def elsewhere(kind: str, name: str, url: str, path: str, builder: SummaryBuilder) -> None:
    """Keep the URL that stands where a result itself is documented; the result counts as one that was not read."""
    builder.checked.warn("result-elsewhere", path, "a URL where the result is documented; kept in links, not read")
    builder.links.append(Link(kind, name, builder.checked.text(url, path).strip()))


def subtitle(data: Json, path: str, builder: SummaryBuilder) -> bool:
    """Read one Subtitle: links under ``details``, an object or a list. Return whether it held anything."""
    if not isinstance(data, dict) or ("details" not in data and data.keys() - _NO_LINKS):
        builder.checked.warn("no-details", path, "links where an object that has them as details is documented; kept")
        return _links("Subtitle", data, path, builder)
    builder.checked.unknown_fields(data, frozenset({"details", *_NO_LINKS}), path)
    return _links("Subtitle", data.get("details"), f"{path}.details", builder)


def process(data: Json, path: str, builder: SummaryBuilder) -> bool:
    """Read one Process: a link under a name that is not documented. Return whether it held anything."""
    return _links("Process", data, path, builder)


def _links(kind: str, value: Json, path: str, builder: SummaryBuilder) -> bool:
    """Collect every URL of a string, an object or a list of these; only http and https are links."""
    before, value = len(builder.links), builder.checked.unwrapped(value, path)
    parts = value if isinstance(value, list) else [value]
    for index, raw in enumerate(parts):
        where = f"{path}[{index}]" if parts is value else path
        part = builder.checked.unwrapped(raw, where)
        for name, url in (part if isinstance(part, dict) else {"": part}).items():
            if url in (None, "") or name in _NO_LINKS:
                continue
            if is_url(url):
                builder.links.append(Link(kind, without_nul(name), builder.checked.text(url, where).strip()))
            else:
                builder.checked.warn("not-a-link", f"{where}.{shown(name)}", "no http or https URL; skipped")
    return len(builder.links) > before
