"""DuckDB and ClickHouse as judges: they read the catalogue's files with the statements of docs/catalogue.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb

from shared.catalogue.filters import Filters
from shared.catalogue.positions import iso

PAGE = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text("utf-8")
BLOCKS = {
    (engine, name): body
    for engine, name, body in re.findall(
        r"^```sql (duckdb|clickhouse|parquet) ?(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    )
}


def duckdb_answers(folder: Path, statements: list[str], views: str = "duckdb") -> list[list[tuple[Any, ...]]]:
    """Return what DuckDB answers to each statement, in the folder, over its NDJSON or its ``parquet``."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        with duckdb.connect() as db:
            db.sql("SET TimeZone = 'UTC'")
            db.execute(BLOCKS[views, ""])
            return [db.sql(statement).fetchall() for statement in statements]
    finally:
        os.chdir(here)


def clickhouse_answers(folder: Path, statements: list[str]) -> list[list[tuple[Any, ...]]]:
    """Return what ClickHouse answers, in a process of its own: its library takes a process over."""
    code = (
        "import json, sys\n"
        "from chdb import session\n"
        "views, *asked = json.load(sys.stdin)\n"
        "db = session.Session()\n"
        "for each in views.split(';'):\n"
        "    each.strip() and db.query(each)\n"
        "found = [str(db.query(each.strip().rstrip(';'), 'JSONCompactEachRow')) for each in asked]\n"
        "json.dump([[json.loads(line) for line in each.splitlines()] for each in found], sys.stdout)\n"
    )
    given = json.dumps([BLOCKS["clickhouse", ""], *statements])
    done = subprocess.run(
        [sys.executable, "-c", code], input=given, capture_output=True, text=True, check=True, cwd=folder, timeout=1200
    )
    return [[tuple(row) for row in rows] for rows in json.loads(done.stdout)]


def statement(filters: Filters, engine: str) -> str:  # noqa: C901 - one condition for each filter
    """Return the SQL for filters, in which nothing is folded but ASCII case."""
    duck = engine == "duckdb"
    has, starts, join, end, position = (
        ("list_contains", "starts_with", "array_to_string", "chr(10)", "instr")
        if duck
        else ("has", "startsWith", "arrayStringConcat", "char(10)", "position")
    )

    def quoted(text: str) -> str:
        return "'" + (text if duck else text.replace("\\", "\\\\")).replace("'", "''") + "'"

    def each(lists: str, part: str) -> str:
        return f'[each."{part}" for each in {lists}]' if duck else f"arrayMap(each -> each.{part}, {lists})"

    conditions = ["true"]
    if filters.person:
        conditions.append(f"{has}({each('persons', 'name')}, {quoted(filters.person)})")
    if filters.tag:
        conditions.append(f"{has}({each('tags', 'name')}, {quoted(filters.tag)})")
    if filters.text:
        lists = [each("persons", "name"), each("tags", "name"), each("tags", "group"), each("alerts", "name")]
        joined = [f"{join}({found}, {end})" for found in (*lists, "keywords", "texts")]
        texts = f", {end}, ".join(("jobId", "userData", "coalesce(title, '')", *joined))
        conditions.append(f"{position}(lower(concat({texts})), lower({quoted(filters.text)})) > 0")
    if filters.user_data:
        conditions.append(f"{starts}(userData, {quoted(filters.user_data)})")
    if filters.status:
        conditions.append(f"status = {quoted(filters.status)}")
    if filters.alert:
        any_kind = filters.alert == "any"
        conditions.append(
            "length(alerts) > 0" if any_kind else f"{has}({each('alerts', 'kind')}, {quoted(filters.alert)})"
        )
    for limit, sign in ((filters.since, ">="), (filters.until, "<")):
        if limit is not None:
            conditions.append(f"publishedAt {sign} {quoted(iso(limit))} AND dt {sign[0]}= {quoted(iso(limit)[:10])}")
    order = "publishedAt DESC, concat(jobId, '.')"
    return f"SELECT jobId FROM jobs WHERE {' AND '.join(conditions)} ORDER BY {order}"  # noqa: S608 - made here
