"""Tamper evidence as runs and people use it: mapping files are kept, rows are sealed, seals are anchored outside."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from finbridge.core.audit import Anchor
from finbridge.core.errors import GiveUp

if TYPE_CHECKING:
    from finbridge.core.ports import Translator
    from finbridge.hub.audit import Audit
    from finbridge.hub.audit_chain import Finding

_ANCHORS = "FINBRIDGE_AUDIT_ANCHORS"
_WHAT = {
    "altered": "被改动 altered",
    "removed": "被删除 removed",
    "added": "被添加 added",
    "reordered": "顺序被改动或哈希不符 reordered, or hashes that do not fit",
    "cut": "链尾被截断或被替换 the chain was cut or replaced",
    "foreign": "非本套件账号写入 written by a login that is not the suite's",
    "unexplained": "状态无对应事件 a state without its event",
    "more": "还有更多 and more",
}


def anchors_file() -> Path | None:
    """Where seals are anchored outside the database: ``FINBRIDGE_AUDIT_ANCHORS``; None: in the log alone."""
    given = os.environ.get(_ANCHORS)
    return Path(given) if given else None


def keep_mapping(audit: Audit, name: str, translator: Translator) -> None:
    """Keep the mapping file that vouchers are about to be made with, once for each of its versions."""
    compiled = getattr(translator, "compiled", None)
    if compiled is not None and compiled.file:
        audit.keep_file(name=name, version=compiled.stamp.version, body=compiled.file, bound=compiled.bound)


def seal(audit: Audit, anchors: Path | None, *, every_seconds: float = 0.0) -> str:
    """Seal what can be sealed, anchor the newest seal in the file, and return the sentence for the log: `Audit.seal`.

    Raises:
        NeedsHuman: the newest seal was touched.
    """
    done = audit.seal(every_seconds=every_seconds)
    if done.newest is None:
        return "封存由另一任务进行 / another task is sealing"
    if anchors is not None and done.seals:
        anchors.parent.mkdir(parents=True, exist_ok=True)
        with anchors.open("a", encoding="ascii") as file:
            file.write(f"{done.newest}\n")
            file.flush()
            os.fsync(file.fileno())
    waiting = "" if done.opened else " 旧数据封存未完 / older rows are still being sealed"
    return f"封存 / sealed: {done.rows} 行 rows, {done.seals} 封印 seals; audit anchor {done.newest}{waiting}"


def read_anchors(file: Path | None, given: Sequence[str] = ()) -> list[Anchor]:
    """Anchors of the file and those given as text.

    Raises:
        GiveUp: a line is no anchor: the file was touched.
    """
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file and file.exists() else []
    found: list[Anchor] = []
    for number, line in enumerate([*lines, *given], start=1):
        if line.strip():
            try:
                found.append(Anchor.read(line))
            except ValueError:
                raise GiveUp(
                    "audit_anchor_unreadable",
                    f"锚定记录第 {number} 条无法识别 / anchor {number} cannot be read: it was touched",
                ) from None
    return found


def told(finding: Finding) -> str:
    """One line: document first, then table and column, what happened, where. No value is shown."""
    document = f"单据 document {finding.document_id}" if finding.document_id else "—"
    place = f"{finding.table}.{finding.field}" if finding.field else finding.table
    rest = " ".join(part for part in (finding.where, finding.row) if part)
    return f"{document}: {place}: {_WHAT[finding.what]} [{rest}]"
