"""Voucher rules, checks and frames with every name resolved, and what each kind of voucher rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from finbridge.mapping.scope import Expr, Place, Scope
from finbridge.mapping.spec import Check, MappingSpec, Posting, Reference, VoucherRule, Where
from finbridge.mapping.sqltext import NO_TEXT
from finbridge.mapping.transforms import DATE, INTEGER, MONEY, TEXT

HEADER_TYPES = {
    "voucher_word": TEXT,
    "attachment_count": INTEGER,
    "prepared_by": TEXT,
    "reviewed_by": TEXT,
    "business_date": DATE,
    "document_date": DATE,
    "posting_date": DATE,
}
HEADER_DEFAULTS: Mapping[str, Reference] = {
    "voucher_word": {"value": "记"},
    "attachment_count": {"value": "0"},
    "prepared_by": {"value": ""},
    "reviewed_by": {"value": ""},
}
_NOTHING = Expr(NO_TEXT, TEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A posting rule: SQL for each column; ``each`` None makes one line for the document."""

    each: str | None
    side: str
    account: Expr
    amount: Expr
    party: Expr
    tax_code: Expr
    assignment: Expr
    dimensions: Mapping[str, Expr]
    of_main: tuple[str, ...]  # columns of the main table that a line for each row takes
    merge: bool
    when: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherKindRule:
    """One kind of voucher: what it posts, its header, its lines, and the fields that it rests on."""

    kind: str
    amount: Expr
    header: Mapping[str, Expr]
    summary: tuple[Place, ...]
    max_length: int
    gives_way: int | None  # index of the piece that is shortened first
    lines: tuple[Line, ...]
    needs: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A check: ``fails`` is SQL, never NULL."""

    check: Check
    field: str
    fails: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """All of a mapping's outputs."""

    kinds: tuple[VoucherKindRule, ...]
    rules: tuple[Rule, ...]
    dimensions: tuple[str, ...]
    documents: Mapping[str, Expr]
    lines_of: str | None
    lines: Mapping[str, Expr]

    def kinds_that_need(self, name: str) -> tuple[str, ...]:
        """Kinds that a bad value of ``section.name`` stops; what no kind needs stops the one that is declared first."""
        needing = tuple(rule.kind for rule in self.kinds if name in rule.needs)
        return needing or (self.kinds[0].kind,)


def resolve(spec: MappingSpec, main: Scope, details: Mapping[str, Scope]) -> Resolved:
    """Resolve all references behind the derived values.

    Raises:
        ConfigError: names file, line and field.
    """
    names = tuple(rule.kind.value for rule in spec.vouchers)
    scopes = (main, *details.values())
    for scope in scopes:
        scope.posted = set(scope.kept)
    frames: Where = ("frames", "documents")
    lines_of = spec.frame_lines_of
    lines: dict[str, Expr] = {}
    if lines_of is not None:
        scope = _section(lines_of, main, details, ("frames", "lines", "from"))
        lines = {n: scope.get(ref, ("frames", "lines", "columns", n)) for n, ref in spec.frame_lines.items()}
    resolved_rules = tuple(_rule(check, main, details, names) for check in spec.checks)
    # Last: what the rows carry of the main table is settled now, and a posting joins only what they lack.
    read = [scope.kept for scope in scopes]
    for scope in scopes:
        scope.kept = scope.posted
    kinds = tuple(_kind(rule, main, details) for rule in spec.vouchers)
    for scope, also in zip(scopes, read, strict=True):
        scope.kept = scope.posted | also
    return Resolved(
        kinds=tuple(_with_checks(rule, resolved_rules, main, details) for rule in kinds),
        rules=resolved_rules,
        dimensions=tuple(sorted({name for rule in kinds for line in rule.lines for name in line.dimensions})),
        documents={n: main.get(ref, (*frames, n), late=True) for n, ref in spec.frame_documents.items()},
        lines_of=lines_of,
        lines=lines,
    )


def _section(each: str | None, main: Scope, details: Mapping[str, Scope], where: Where) -> Scope:
    if each is None:
        return main
    if each not in details:
        raise main.file.error(where, f"没有这个明细 / no detail table {each}. Known: {', '.join(details) or 'none'}.")
    return details[each]


def _kind(rule: VoucherRule, main: Scope, details: Mapping[str, Scope]) -> VoucherKindRule:
    header_at = (*rule.where, "header")
    written = {**HEADER_DEFAULTS, **rule.header}
    header = {
        name: main.get(written[name], (*header_at, name), wanted, late=True) for name, wanted in HEADER_TYPES.items()
    }
    template_at = (*header_at, "summary", "template")
    pieces = tuple(main.template(rule.template, template_at, rule.personal))
    lines = tuple(_line(posting, main, details) for posting in rule.lines)
    amount = main.get(rule.amount, (*rule.where, "amount"), MONEY, late=True)
    used = [amount, *header.values(), *(p.expr for p in pieces if p.expr)]
    for line in lines:
        used += [line.account, line.amount, line.party, line.tax_code, line.assignment, line.when]
        used += line.dimensions.values()
    return VoucherKindRule(
        kind=rule.kind.value,
        amount=amount,
        header=header,
        summary=pieces,
        max_length=rule.max_length,
        gives_way=_gives_way(rule, pieces, main),
        lines=lines,
        needs=frozenset().union(*(expr.needs for expr in used)),
    )


def _gives_way(rule: VoucherRule, pieces: tuple[Place, ...], main: Scope) -> int | None:
    if rule.gives_way is None:
        return None
    for index, piece in enumerate(pieces):
        if piece.expr is not None and piece.text == rule.gives_way:
            return index
    where = (*rule.where, "header", "summary", "gives_way")
    raise main.file.error(
        where, f"模板里没有它 / {rule.gives_way} is not in the template. Name a field of the template."
    )


def _line(posting: Posting, main: Scope, details: Mapping[str, Scope]) -> Line:
    where = posting.where
    scope = _section(posting.each, main, details, (*where, "each"))
    late = True  # lines are made when all sums are known
    scope.used_of_main, kept = {}, scope.used_of_main

    def text(name: str, reference: Reference | None) -> Expr:
        return _NOTHING if reference is None else scope.get(reference, (*where, name), TEXT, late=late)

    line = Line(
        each=posting.each,
        side="D" if posting.side == "debit" else "C",
        account=text("account", posting.account),
        amount=scope.get(posting.amount, (*where, "amount"), MONEY, late=late),
        party=text("party", posting.party),
        tax_code=text("tax_code", posting.tax_code),
        assignment=text("assignment", posting.assignment),
        dimensions={
            name: scope.get(ref, (*where, "dimensions", name), TEXT, late=late) for name, ref in posting.dimensions
        },
        of_main=(),
        merge=posting.merge,
        when=scope.conditions(posting.when, late=late),
    )
    of_main = tuple(expr.sql for name, expr in scope.used_of_main.items() if name not in kept)
    scope.used_of_main = kept
    return replace(line, of_main=of_main)


def _rule(check: Check, main: Scope, details: Mapping[str, Scope], kinds: tuple[str, ...]) -> Rule:
    scope = _section(check.each, main, details, (*check.where, "each"))
    late = check.each is None
    when = scope.conditions(check.when, late=late)
    if check.equal is not None:
        at = (*check.where, "equal")
        left = scope.get(check.equal[0], (*at, 0), late=late)
        right = scope.get(check.equal[1], (*at, 1), left.type, late=late)
        both = (left, right)
        unlike = f"({left.sql} IS NULL) <> ({right.sql} IS NULL)"
        fails = f"coalesce({left.sql} <> {right.sql}, {unlike} AND {_no_error(scope, both)})"
    else:
        left = scope.get(check.present or "", (*check.where, "present"), late=late)
        fails = f"{left.sql} IS NULL AND {_no_error(scope, (left,))}"
    shown = check.equal[0] if check.equal else check.present
    name = shown if isinstance(shown, str) else check.code
    return Rule(
        check=check,
        field=name if "." in name else f"{scope.section.name}.{name}",
        fails=f"({fails}) AND {when.sql}",
        kinds=check.kinds or kinds,
    )


def _no_error(scope: Scope, exprs: tuple[Expr, ...]) -> str:
    """A missing value is not a second problem where the value's own error is told already."""
    if any(expr.late for expr in exprs):
        return "false"
    own = sorted(
        {name.partition(".")[2] for e in exprs for name in e.needs if name.startswith(f"{scope.section.name}.")}
    )
    return " AND ".join(f"NOT ({scope.errors[name][0]})" for name in own if name in scope.errors) or "true"


def _with_checks(
    rule: VoucherKindRule, rules: tuple[Rule, ...], main: Scope, details: Mapping[str, Scope]
) -> VoucherKindRule:
    """A kind rests also on what its checks read."""
    needs = set(rule.needs)
    for check in (r.check for r in rules if rule.kind in r.kinds):
        scope = _section(check.each, main, details, check.where)
        read = [*(check.equal or ()), *([check.present] if check.present else []), *(c.field for c in check.when)]
        for reference in read:
            needs |= scope.get(reference, check.where, late=True).needs
    return replace(rule, needs=frozenset(needs))
