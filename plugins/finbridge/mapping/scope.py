"""What a name in a mapping means: its SQL, its type, and the source fields it rests on. Refuses what cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from finbridge.core.money import decimals
from finbridge.mapping.fieldtypes import FieldType, parse, value_sql
from finbridge.mapping.spec import Condition, Derived, Reference, Section, Where
from finbridge.mapping.sqltext import quote
from finbridge.mapping.transforms import DATE, INTEGER, MONEY, TEXT, TRANSFORMS
from finbridge.mapping.yamlfile import YamlFile

SCALE = "scale"  # in every table of the engine: the currency's decimals as an exponent, e.g. e2
#: What the caller says about each voucher to be made; `template` is the form's own id.
REQUEST_FIELDS: Mapping[str, str] = {
    "document_id": TEXT,
    "kind": TEXT,
    "cause": TEXT,
    "operator": TEXT,
    "posting_date": DATE,
    "company": TEXT,
    "source": TEXT,
    "business_number": TEXT,
    "currency": TEXT,
    "template": TEXT,
}
_PLACE = re.compile(r"\{([a-z][a-z0-9_.]*)(?:\|([a-z][a-z0-9_]*))?\}")


@dataclass(frozen=True, slots=True)
class Expr:
    """``needs``: every source field and derived value under it, as ``section.name``. ``late``: known after the sums."""

    sql: str
    type: str
    needs: frozenset[str] = frozenset()
    personal: bool = False
    late: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A piece of a summary: fixed text (``expr`` None) or a value."""

    text: str
    expr: Expr | None


class Scope:
    """Names of one section; a detail table sees the main table as ``main.<name>``."""

    def __init__(self, section: Section, file: YamlFile, main: Scope | None = None) -> None:
        self.section = section
        self.file = file
        self.main = main
        self.names: dict[str, Expr] = {}
        self.used_of_main: dict[str, Expr] = {}
        self.used_of_request: set[str] = set()
        #: Columns that were asked for since the section's own values were settled: what a table must keep.
        self.kept: set[str] = set()
        #: Those of them that vouchers and sums need, frames and checks aside.
        self.posted: set[str] = set()
        #: By value: SQL of the condition under which it has an error (never NULL), and SQL of the text that shows it.
        self.errors: dict[str, tuple[str, str]] = {}
        self._prefix = "m_" if main is None else "d_"
        for field in section.fields:
            type_ = TEXT if field.kind.name == "enum" else field.kind.name
            self._add(field.name, Expr("", type_, personal=field.personal), field.where)

    def column(self, name: str) -> str:
        """The column that holds a value of this section."""
        return f"{self._prefix}{name}"

    def _add(self, name: str, expr: Expr, where: Where) -> None:
        if name in self.names:
            raise self.file.error(where, f"名字重复 / {name} is declared twice. Rename one of them.")
        own = frozenset({f"{self.section.name}.{name}"})
        self.names[name] = replace(expr, sql=self.column(name), needs=expr.needs | own)

    def needs_document(self) -> bool:
        """Whether a row's own values rest on the main table or the template."""
        return bool(self.used_of_main) or "template" in self.used_of_request

    def derive(self, item: Derived, expr: Expr) -> None:
        """Make a derived value known under its name."""
        self._add(item.name, expr, item.where)

    # ------------------------------------------------------------ references

    def get(
        self, reference: Reference, where: Where, wanted: str | None = None, *, late: bool = False, named: bool = False
    ) -> Expr:
        """Resolve a reference.

        Args:
            wanted: the field type that it must have (a constant is read as that type).
            late: whether values known only after the sums may be used.
            named: whether personal data may be used here.

        Raises:
            ConfigError: unknown name, wrong type, personal data where none may be, or known too late.
        """
        if not isinstance(reference, str):
            return self._constant(reference["value"], wanted or TEXT, where)
        expr = self._find(reference, where)
        self.kept.add(expr.sql)
        if expr.personal and not named:
            raise self.file.error(
                where, f"个人信息不能用在这里 / {reference} is personal data; only a summary that lists it may show it."
            )
        if expr.late and not late:
            raise self.file.error(
                where, f"此处还没有合计 / {reference} rests on sums and is not known here. Use it in main or vouchers."
            )
        if wanted is not None and expr.type != wanted:
            raise self.file.error(
                where, f"类型不符 / {reference} is of type {expr.type}, {wanted} is needed. Use another field."
            )
        return expr

    def _find(self, reference: str, where: Where) -> Expr:
        scope, _, name = reference.rpartition(".")
        if scope == "request" and name in REQUEST_FIELDS:
            self.used_of_request.add(name)
            return Expr(f"r_{name}", REQUEST_FIELDS[name])
        if scope == "main" and self.main is not None and name in self.main.names:
            self.used_of_main[name] = self.main.names[name]
            return self.main.names[name]
        if not scope and name in self.names:
            return self.names[name]
        known = [*self.names, *(f"request.{n}" for n in REQUEST_FIELDS)]
        known += [f"main.{n}" for n in self.main.names] if self.main else []
        raise self.file.error(where, f"没有这个字段 / no field {reference}. Known here: {', '.join(sorted(known))}.")

    def _constant(self, text: str, wanted: str, where: Where) -> Expr:
        kind = FieldType(name=wanted, required=False)
        value, error = parse(text, kind, "CNY", decimals("CNY"))
        if error is not None:
            raise self.file.error(where, f"常数不是 {wanted} / {text!r} is not of type {wanted} ({error}).")
        if value is None:
            return Expr("''" if wanted == TEXT else "NULL", wanted)
        if wanted != MONEY:
            return Expr(_literal(text, wanted), wanted)
        self.kept.add(SCALE)
        return Expr(value_sql(quote(text), kind, SCALE), wanted)

    def conditions(self, conditions: Iterable[Condition], *, late: bool = False) -> Expr:
        """All of them as one SQL condition that is never NULL."""
        parts: list[str] = []
        needs: frozenset[str] = frozenset()
        for condition in conditions:
            field = self.get(condition.field, condition.where, late=late)
            values = [self._constant(value, field.type, condition.where).sql for value in condition.values]
            if condition.test == "is_not":
                parts.append(f"{field.sql} IS DISTINCT FROM {values[0]}")
            else:
                parts.append(f"coalesce({field.sql} IN ({', '.join(values)}), false)")
            needs |= field.needs
        return Expr(" AND ".join(parts) or "true", "condition", needs)

    # ------------------------------------------------------------ transforms and summaries

    def call(self, item: Derived, *, late: bool) -> Expr:
        """A named transform on its arguments."""
        transform = TRANSFORMS.get(item.transform or "")
        where = (*item.where, "transform")
        if transform is None:
            raise self.file.error(
                where, f"没有这个变换 / no transform {item.transform}. Known: {', '.join(sorted(TRANSFORMS))}."
            )
        if len(item.args) != len(transform.takes):
            raise self.file.error((*item.where, "args"), f"参数个数 / {len(transform.takes)} arguments are needed.")
        args = [
            self.get(arg, (*item.where, "args", i), wanted, late=late)
            for i, (arg, wanted) in enumerate(zip(item.args, transform.takes, strict=True))
        ]
        return Expr(
            transform.sql.format(*(f"({arg.sql})" for arg in args)),
            transform.gives,
            frozenset().union(*(arg.needs for arg in args)),
            late=any(arg.late for arg in args),
        )

    def template(self, text: str, where: Where, personal: frozenset[str]) -> list[Place]:
        """Split ``报销{name}{day|year_month} {number}`` into pieces."""
        pieces: list[Place] = []
        end = 0
        for match in _PLACE.finditer(text):
            if match.start() > end:
                pieces.append(Place(text[end : match.start()], None))
            pieces.append(Place(match[1], self._place(match[1], match[2], where, personal)))
            end = match.end()
        if end < len(text):
            pieces.append(Place(text[end:], None))
        if any(piece.expr is None and re.search(r"[{}]", piece.text) for piece in pieces):
            raise self.file.error(
                where, "花括号写错 / a brace that belongs to no {field}. Write {field} or {field|how}."
            )
        return pieces

    def _place(self, name: str, transform: str | None, where: Where, personal: frozenset[str]) -> Expr:
        expr = self.get(name, where, late=True, named=name in personal)
        if transform is not None:
            known = TRANSFORMS.get(transform)
            if known is None or known.takes != (expr.type,) or known.gives != TEXT:
                fitting = sorted(t.name for t in TRANSFORMS.values() if t.takes == (expr.type,) and t.gives == TEXT)
                raise self.file.error(
                    where, f"不能这样写 / {name}|{transform}. Fitting: {', '.join(fitting) or 'none'}."
                )
            expr = replace(expr, sql=known.sql.format(f"({expr.sql})"), type=TEXT)
        if expr.type == INTEGER:
            expr = replace(expr, sql=f"CAST({expr.sql} AS VARCHAR)", type=TEXT)
        if expr.type != TEXT:
            raise self.file.error(
                where, f"摘要里要文本 / {name} is of type {expr.type}. Give it a form, e.g. |year_month."
            )
        return expr


def _literal(text: str, wanted: str) -> str:
    casts = {INTEGER: "BIGINT", DATE: "DATE", "decimal": "DECIMAL(18,6)"}
    return f"CAST({quote(text)} AS {casts[wanted]})" if wanted in casts else quote(text)
