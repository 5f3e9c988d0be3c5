"""The package's bill of materials: every distribution in it with version and licence, as CycloneDX 1.6 JSON.

It holds no time and no serial number, so that the same package has the same bill.
"""

from __future__ import annotations

from email.message import Message
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

import orjson

_CLASSIFIER = "License :: OSI Approved :: "
_LONGEST_NAME = 60  # characters; some packages put the whole licence where its name belongs


def describe(package: Path, name: str) -> bytes:
    """Return the bill of everything that was installed into the folder ``package``."""
    components = [_component(path) for path in sorted(package.glob("*.dist-info/METADATA"))]
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": name, "licenses": [_license("Apache-2.0")]}},
        "components": components,
    }
    return orjson.dumps(bill, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _component(metadata: Path) -> dict[str, Any]:
    about = BytesHeaderParser().parsebytes(metadata.read_bytes())
    name, version = str(about["Name"]), str(about["Version"])
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, **_licenses(about)}


def _licenses(about: Message) -> dict[str, Any]:
    if about["License-Expression"]:
        return {"licenses": [{"expression": str(about["License-Expression"])}]}
    named = [str(each) for each in about.get_all("Classifier", []) if str(each).startswith(_CLASSIFIER)]
    names = [each.removeprefix(_CLASSIFIER) for each in named] or [str(about["License"] or "")]
    return {"licenses": [{"license": {"name": each}} for each in names if 0 < len(each) <= _LONGEST_NAME]}


def _license(identifier: str) -> dict[str, Any]:
    return {"license": {"id": identifier}}
