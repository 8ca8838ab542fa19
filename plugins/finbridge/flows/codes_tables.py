"""Which code tables a flow's mapping looks into, and what their targets are: read from the mapping itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from finbridge.core.codes import MasterKind
from finbridge.mapping.spec import MappingSpec, Posting, Reference, read_mapping

_COST_CENTRE = frozenset({"cost_centre"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTable:
    """One table. ``parts``: how many parts its keys have, joined by bars; ``target``: what finance knows it as."""

    name: str
    parts: frozenset[int]
    target: MasterKind | None


def tables_of(mapping: Path) -> dict[str, CodeTable]:
    """The tables of a mapping by name.

    Raises:
        ConfigError: the mapping is wrong.
    """
    spec = read_mapping(mapping)
    found: dict[str, CodeTable] = {}
    kinds = _kinds(spec)
    for section in (spec.main, *spec.details):
        for item in section.derived:
            if item.lookup is None:
                continue
            known = found.get(item.lookup)
            target = kinds.get((section.name, item.name)) or (known.target if known else None)
            parts = (known.parts if known else frozenset()) | {len(item.key)}
            found[item.lookup] = CodeTable(name=item.lookup, parts=parts, target=target)
    return found


def _kinds(spec: MappingSpec) -> Mapping[tuple[str, str], MasterKind]:
    """What voucher lines use a value as, by section and name."""
    kinds: dict[tuple[str, str], MasterKind] = {}
    for rule in spec.vouchers:
        for line in rule.lines:
            for reference, kind in _uses(line):
                if isinstance(reference, str):
                    section, _, name = reference.rpartition(".")
                    kinds[(section or line.each or "main", name)] = kind
    return kinds


def _uses(line: Posting) -> list[tuple[Reference | None, MasterKind]]:
    dimensions = [(value, MasterKind.COST_CENTRE) for name, value in line.dimensions if name in _COST_CENTRE]
    return [(line.account, MasterKind.ACCOUNT), (line.party, MasterKind.PARTY), *dimensions]
