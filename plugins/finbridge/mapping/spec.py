"""A mapping as records: what the YAML says, before any SQL. References stay as written; `scope` resolves them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finbridge.core.ids import VoucherKind
from finbridge.core.vouchers import MappingStamp
from finbridge.mapping.bindings import bind_mapping
from finbridge.mapping.fieldtypes import FieldType
from finbridge.mapping.yamlfile import YamlFile

Where = tuple[str | int, ...]
#: A reference as written: a name (``approved``, ``main.approved``, ``request.company``) or ``{value: text}``.
Reference = str | Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A typed column of the form. ``columns``: the first that is not blank counts; ``constant`` instead of columns."""

    name: str
    columns: tuple[str, ...]
    constant: str | None
    kind: FieldType
    label: str
    personal: bool
    where: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """One derived value: exactly one of lookup, transform, sum and count is set."""

    name: str
    lookup: str | None
    key: tuple[Reference, ...]
    on: Reference
    transform: str | None
    args: tuple[Reference, ...]
    sum: str | None
    count: str | None
    where: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The main table (``name`` "main", ``table`` "") or one detail table."""

    name: str
    table: str
    label: str
    fields: tuple[Field, ...]
    derived: tuple[Derived, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The form's columns that the section reads, each once."""
        return tuple(dict.fromkeys(column for field in self.fields for column in field.columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """``field`` is, is not, or is in constants; NULL is nothing of these."""

    field: Reference
    test: str  # is, is_not, in
    values: tuple[str, ...]
    where: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A statement that must hold for the document (``each`` None) or for each of its rows."""

    code: str
    each: str | None
    equal: tuple[Reference, Reference] | None
    present: Reference | None
    when: tuple[Condition, ...]
    kinds: tuple[str, ...]
    text: str
    where: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """A rule that makes voucher lines: one for the document or one for each row, merged where all but amounts agree."""

    each: str | None
    side: str
    account: Reference
    amount: Reference
    party: Reference | None
    tax_code: Reference | None
    assignment: Reference | None
    dimensions: tuple[tuple[str, Reference], ...]
    merge: bool
    when: tuple[Condition, ...]
    where: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherRule:
    """How one kind of voucher is made."""

    kind: VoucherKind
    amount: Reference
    header: Mapping[str, Reference]
    template: str
    max_length: int
    gives_way: str | None
    personal: frozenset[str]
    lines: tuple[Posting, ...]
    where: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingSpec:
    """A whole mapping."""

    stamp: MappingStamp
    main: Section
    details: tuple[Section, ...]
    checks: tuple[Check, ...]
    vouchers: tuple[VoucherRule, ...]
    frame_documents: Mapping[str, Reference]
    frame_lines_of: str | None
    frame_lines: Mapping[str, Reference]
    file: YamlFile
    bound: bytes  # what labels were bound to, canonical; with the file's bytes it gives the stamp's hash


def read_mapping(path: Path) -> MappingSpec:
    """Read and validate a mapping file.

    Raises:
        ConfigError: names file, line and field.
    """
    file = YamlFile(path, "mapping.schema.json")
    bound = bind_mapping(file)
    data = file.data
    derive = data.get("derive", {})
    main = _section("main", {"columns": data["main"]}, derive.get("main", {}), ("main",))
    details = tuple(
        _section(name, part, derive.get(name, {}), ("details", name, "columns"))
        for name, part in data.get("details", {}).items()
    )
    for name in derive:
        if name not in {"main", *data.get("details", {})}:
            raise file.error(("derive", name), "没有这个明细 / no such detail table. Declare it under details.")
    frames = data.get("frames", {})
    lines = frames.get("lines", {})
    return MappingSpec(
        stamp=MappingStamp(
            mapping_id=data["mapping"], version=data["version"], sha256=_identity(file.raw, _canonical(bound))
        ),
        main=main,
        details=details,
        checks=tuple(_check(part, ("checks", i)) for i, part in enumerate(data.get("checks", []))),
        vouchers=tuple(_voucher(kind, part, data["target"], file) for kind, part in data["vouchers"].items()),
        frame_documents=frames.get("documents", {}),
        frame_lines_of=lines.get("from"),
        frame_lines=lines.get("columns", {}),
        file=file,
        bound=_canonical(bound),
    )


def _canonical(bound: Mapping[str, str]) -> bytes:
    return json.dumps(bound, ensure_ascii=False, sort_keys=True).encode() if bound else b""


def _identity(raw: bytes, bound: bytes) -> str:
    """SHA-256 of the file and, where columns were bound by label, of what they were bound to."""
    return hashlib.sha256(raw + bound).hexdigest()


def _section(name: str, part: Mapping[str, Any], derived: Mapping[str, Any], where: Where) -> Section:
    return Section(
        name=name,
        table=part.get("table", ""),
        label=part.get("label", name if "table" in part else ""),
        fields=tuple(_field(key, field, (*where, key)) for key, field in part["columns"].items()),
        derived=tuple(_derived(key, item, ("derive", name, key)) for key, item in derived.items()),
    )


def _field(name: str, part: Mapping[str, Any], where: Where) -> Field:
    column = part.get("column", ())
    return Field(
        name=name,
        columns=(column,) if isinstance(column, str) else tuple(column),
        constant=part.get("value"),
        kind=FieldType(
            name=part["type"],
            required=part.get("required", True),
            blank=part.get("blank"),
            rounding=part.get("rounding", "exact"),
            values=tuple(part.get("values", ())),
            pattern=part.get("pattern", ""),
        ),
        label=part.get("label", name),
        personal=part.get("personal", False),
        where=where,
    )


def _derived(name: str, part: Mapping[str, Any], where: Where) -> Derived:
    return Derived(
        name=name,
        lookup=part.get("lookup"),
        key=tuple(part.get("key", ())),
        on=part.get("on", "request.posting_date"),
        transform=part.get("transform"),
        args=tuple(part.get("args", ())),
        sum=part.get("sum"),
        count=part.get("count"),
        where=where,
    )


def _conditions(parts: list[Mapping[str, Any]], where: Where) -> tuple[Condition, ...]:
    made = []
    for i, part in enumerate(parts):
        test = next(name for name in ("is", "is_not", "in") if name in part)
        values = tuple(part["in"]) if test == "in" else (part[test],)
        made.append(Condition(field=part["field"], test=test, values=values, where=(*where, i, "field")))
    return tuple(made)


def _check(part: Mapping[str, Any], where: Where) -> Check:
    return Check(
        code=part["code"],
        each=part.get("each"),
        equal=tuple(part["equal"]) if "equal" in part else None,
        present=part.get("present"),
        when=_conditions(part.get("when", []), (*where, "when")),
        kinds=tuple(part.get("kinds", ())),
        text=part["text"],
        where=where,
    )


def _voucher(kind: str, part: Mapping[str, Any], target: str, file: YamlFile) -> VoucherRule:
    where = ("vouchers", kind)
    header = dict(part["header"])
    summary = header.pop("summary")
    if target not in summary["max_length"]:
        raise file.error(
            (*where, "header", "summary", "max_length"),
            f"缺少目标系统 {target} 的摘要长度 / no length for the target. Add `{target}: <number>`.",
        )
    return VoucherRule(
        kind=VoucherKind(kind),
        amount=part["amount"],
        header=header,
        template=summary["template"],
        max_length=summary["max_length"][target],
        gives_way=summary.get("gives_way"),
        personal=frozenset(summary.get("personal", ())),
        lines=tuple(_posting(line, (*where, "lines", i)) for i, line in enumerate(part["lines"])),
        where=where,
    )


def _posting(part: Mapping[str, Any], where: Where) -> Posting:
    return Posting(
        each=part.get("each"),
        side=part["side"],
        account=part["account"],
        amount=part["amount"],
        party=part.get("party"),
        tax_code=part.get("tax_code"),
        assignment=part.get("assignment"),
        dimensions=tuple(part.get("dimensions", {}).items()),
        merge=part.get("merge", False),
        when=_conditions(part.get("when", []), (*where, "when")),
        where=where,
    )
