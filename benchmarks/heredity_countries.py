"""A real world, of which the founder has read: countries, from the package `countryinfo`, dealt into volumes.

    pip download --no-deps countryinfo==1.0.1        (of it the country files are read, nothing is installed)

Told as `heredity_world` tells: ten countries a volume with four facts each, in prose, in a table and in talk with the
same clerk. Here the founder's own knowledge counts, so what it answers before it is taught is reported apart.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.heredity_world import Attribute, Volume, bound

WHEEL = Path(os.environ.get("COUNTRYINFO_WHEEL", "countryinfo-1.0.1-py3-none-any.whl"))
ATTRIBUTES = (
    Attribute("capital", ("The capital of {s} is {v}.", "{S}'s capital is {v}."), str),
    Attribute("area", ("The area of {s} is {v}.", "{S} has an area of {v}."), str),
    Attribute("calling code", ("The calling code of {s} is {v}.", "{S}'s calling code is {v}."), str),
    Attribute("demonym", ("The demonym of {s} is {v}.", "{S}'s demonym is {v}."), str),
)
GROUPS = (4, 3, 3)


def countries(volumes: int, seed: int) -> list[Volume]:
    """The first `volumes` of the world in the order of that seed; more of them begin with the same ones."""
    dice = random.Random(seed)
    known = dict(sorted(_countries().items()))
    names = dice.sample(list(known), len(known))
    if len(names) < volumes * sum(GROUPS):
        raise SystemExit(f"{WHEEL} tells of {len(names)} countries, enough for {len(names) // sum(GROUPS)} volumes")
    found, rest = [], iter(names)
    for number in range(1, volumes + 1):
        groups = [(ATTRIBUTES, {name: list(known[name]) for name in itertools.islice(rest, size)}) for size in GROUPS]
        found.append(bound(number, groups, random.Random(f"{seed}/{number}")))
    return found


@cache
def _countries() -> dict[str, tuple[str, ...]]:
    """Those of which all four facts are known, by plain names."""
    with zipfile.ZipFile(WHEEL) as wheel:
        tables = [json.loads(wheel.read(name)) for name in sorted(wheel.namelist()) if name.endswith(".json")]
    return {table["name"]: _facts(table) for table in tables if _told(table)}


def _told(table: dict[str, Any]) -> bool:
    plain = all(isinstance(table.get(key), str) and table[key] for key in ("name", "capital", "demonym"))
    return plain and table["name"].replace(" ", "").isalpha() and bool(table.get("area") and table.get("callingCodes"))


def _facts(table: dict[str, Any]) -> tuple[str, ...]:
    area = f"{round(table['area'])} square kilometres"
    return table["capital"], area, table["callingCodes"][0], table["demonym"]
