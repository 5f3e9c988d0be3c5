"""CPVLabel: cates, entities, hotwords and freeTags of tagging 2.0."""

from __future__ import annotations

import json

from shared.smarttag.builder import SummaryBuilder
from shared.smarttag.checked_values import Item, Json
from shared.smarttag.model import ConceptKind
from shared.smarttag.results import appearances

KINDS: dict[str, ConceptKind] = {"cates": "cate", "entities": "entity", "hotwords": "hotword", "freeTags": "freeTag"}
_NAMES = ("labelLevel1", "labelLevel2", "label")
# "type" says who labelled: hmi, auto, or autp as the documents spell it.
_FIELDS = frozenset({"type", "success", "message", *KINDS})


def cpv_label(data: Item, path: str, builder: SummaryBuilder) -> bool:
    """Read one CPVLabel; times are seconds. Return whether it held anything."""
    checked = builder.checked
    checked.unknown_fields(data, _FIELDS, path)
    found = False
    for field, kind in KINDS.items():
        for where, item in checked.items(data.get(field), f"{path}.{field}", _NAMES):
            found = True
            level1, level2, label = (checked.text(item.get(key), f"{where}.{key}") for key in _NAMES)
            key = (kind, level1, level2, label)
            group = "/".join(level for level in (level1, level2) if level)
            name = label or level2 or level1
            gathered = builder.appearances(builder.concepts, key, ("concept", name, group), where)
            appearances.read(gathered, item.pop("detailInfo", None), f"{where}.detailInfo", builder)
            gathered.add_ratio(checked.ratio(item.get("appearanceProbability"), f"{where}.appearanceProbability"))
            knowledge = _knowledge(item.get("knowledgeInfo"), f"{where}.knowledgeInfo", builder)
            if knowledge:
                builder.knowledge.setdefault(key, knowledge)
    return found


def _knowledge(value: Json, path: str, builder: SummaryBuilder) -> Item | None:
    """Return the facts about an entity: an object, or one written as a JSON string."""
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            value = builder.checked.parse(value.encode(), path)
        except json.JSONDecodeError:
            builder.checked.warn("invalid-json", path, "not JSON; left out")
            return None
    return builder.checked.plain(builder.checked.object(value, path), path) or None
