"""Jinja templates: as they stand beside the code, or as the Python that the deployable package makes of them.

A fresh process then spends nothing on parsing them, which takes longer than everything else about them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

_COMPILED = "compiled"  # a folder that exists in the deployable package only


def environment(filters: Mapping[str, Callable[..., Any]], *folders: Path) -> jinja2.Environment:
    """Return an environment that escapes everything, fails on whatever is undefined, and finds templates in folders."""
    import jinja2

    compiled = [folder / _COMPILED for folder in folders]
    made = all(folder.is_dir() for folder in compiled)
    found = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.ModuleLoader(compiled) if made else jinja2.FileSystemLoader(folders),
    )
    found.filters |= filters
    return found


def compile_in(folder: Path, filters: Mapping[str, Callable[..., Any]]) -> None:
    """Write the templates of a folder as Python into it."""
    environment(filters, folder).compile_templates(
        folder / _COMPILED, extensions=["j2", "css"], zip=None, ignore_errors=False
    )
