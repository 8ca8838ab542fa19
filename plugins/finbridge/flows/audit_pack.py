"""A pack for auditors: plain files that give each voucher of a period without this suite, and a check."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finbridge.core.audit import digest
from finbridge.core.errors import GiveUp

if TYPE_CHECKING:
    from finbridge.hub.audit import Audit
    from finbridge.hub.audit_pack import PackReader, SealedRow

_PERIOD = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
#: Wire bytes hold whatever the form holds, names and bank accounts too: only their digest goes in unless asked for.
_WITHHELD = {("inbox", "raw")}
_CSV = ("voucher", "voucher_line", "attempt", "code_table")
_CSV_SEALED = ("trail", "write_back", "code_history")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_README = """# 审计包 / Audit pack {period} {company}

**中文** 本目录可在不使用本套件的情况下重建并核对本期间每张凭证。
执行 `python3 -I -S verify.py`（仅需 Python 3.9 以上标准库）。命令打印的清单哈希须与生成审计包时留存的一致：
`python3 -I -S verify.py --manifest <哈希> --anchor <锚>`。

- `vouchers.csv`、`voucher_lines.csv` 凭证抬头与分录（金额为最小货币单位的整数；D 借 C 贷），含财务系统凭证号；
  `attempts.csv` 过账尝试；`write_backs.csv` 回写；`trails.csv` 留痕；
  `code_tables.csv`、`code_historys.csv` 对照表及其变更史
- `sources/` 采集到的单据内容（凭证模板所见字段，文件名含内容哈希）；`mappings/` 当时的凭证模板文件及版本
- `evidence/` 每行证据：各列原值、所属封印、到 Merkle 根的路径；`standing/` 可变行的现状；`seals.jsonl` 封印链片段

个人信息：{personal_zh}姓名、银行账号在台账中单独保存，不进入本包；
凭证与审批记录中为记账所需的往来单位、摘要、审批人照原样保留。

**English** From this folder each voucher of the period can be rebuilt and checked without the suite that made it. Run
`python3 -I -S verify.py` (Python 3.9 or newer, standard library only). The manifest's hash that it prints must be the
one that was printed, and kept, when the pack was written: `python3 -I -S verify.py --manifest HASH --anchor ANCHOR`.

- `vouchers.csv`, `voucher_lines.csv`: heads and lines (amounts are whole minor units; D debit, C credit), with
  finance's own numbers; `attempts.csv`: tries to post; `write_backs.csv`; `trails.csv`: who did what when;
  `code_tables.csv`, `code_historys.csv`: code tables with their days of validity and each change
- `sources/`: content as collected (the fields that the mapping sees; the name carries the content's hash);
  `mappings/`: the mapping files as they were, with their versions
- `evidence/`: each row with its values, its seal and its way to that seal's Merkle root; `standing/`: changeable rows
  as they stand; `seals.jsonl`: the segment of the chain

To rebuild a voucher: `source_content` of the voucher names the source, `mapping_sha256` the mapping file, and the rows
of `code_tables.csv` that were valid on its dates the codes. Personal data: {personal_en}names and
bank accounts are kept apart in the register and are not in this pack; party, text and approvers stand in
vouchers and logs because the books
need them, and stay as they are.

documents {documents} · evidence rows {rows} · {newest}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What was written. ``manifest`` is the hash to keep apart from the pack."""

    documents: int
    vouchers: int
    rows: int
    manifest: str
    missing_mappings: tuple[str, ...]


def write_pack(
    audit: Audit, folder: Path, verifier: Path, *, period: str, company: str | None = None, wire: bool = False
) -> Packed:
    """Seal, then write the pack into a new folder.

    Args:
        verifier: the program that is copied into the pack.
        wire: put in the bytes as received, with the personal data that they hold.

    Raises:
        GiveUp: the folder is there and not empty, there is no voucher in the period, or a row waits for its seal.
    """
    if not _PERIOD.fullmatch(period):
        raise GiveUp("audit_period", f"期间应为 YYYY-MM / a period is YYYY-MM, not {period!r}")
    if folder.exists() and any(folder.iterdir()):
        raise GiveUp("audit_pack_exists", f"目录非空 / the folder is not empty: {folder}")
    newest = audit.seal().newest
    with audit.reading(period, company) as reader:
        if not reader.documents:
            raise GiveUp("audit_pack_empty", f"该期间没有凭证 / no voucher in {period} {company or ''}")
        folder.mkdir(parents=True, exist_ok=True)
        writer = _Writer(folder, wire=wire)
        writer.evidence(reader)
        writer.standing(reader)
        chain = reader.chain
        _lines(folder / "seals.jsonl", [{"body": body, "hash": found} for body, found in reader.seals()])
    shutil.copyfile(verifier, folder / "verify.py")
    text = _README.format(
        period=period,
        company=company or "",
        documents=reader.documents,
        rows=writer.rows,
        newest=newest or "",
        personal_zh="按要求含原始报文（可能含姓名、银行账号）；除此之外，" if wire else "原始报文只放入摘要值；",
        personal_en="on request the wire bytes are in it, which may hold names and accounts; apart from them, "
        if wire
        else "of the wire bytes only a digest is in it; ",
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    about = {"period": period, "company": company or "", "chain": chain, "wire": wire, "rows": writer.rows}
    return Packed(
        documents=reader.documents,
        vouchers=writer.vouchers,
        rows=writer.rows,
        manifest=_manifest(folder, about),
        missing_mappings=tuple(sorted(set(reader.asked["mappings"]) - writer.mappings)),
    )


class _Writer:
    """The files of one pack."""

    def __init__(self, folder: Path, *, wire: bool) -> None:
        self.folder = folder
        self.withheld = set() if wire else _WITHHELD
        self.rows = self.vouchers = 0
        self.mappings: set[str] = set()

    def evidence(self, reader: PackReader) -> None:
        """Append-only rows, and from them content, mapping files and tables for people."""
        found: dict[str, list[SealedRow]] = {}
        for row in reader.sealed():
            if not row.seal:
                raise GiveUp(
                    "audit_unsealed",
                    f"{row.table} 尚有未封存的行，请稍后重试 / a row waits for its seal: try again in a minute",
                    row.row_key,
                )
            found.setdefault(row.table, []).append(row)
        for table, rows in found.items():
            _lines(self.folder / "evidence" / f"{table}.jsonl", (self._sealed(row) for row in rows))
            self.rows += len(rows)
            if table in _CSV_SEALED:
                _table(self.folder / f"{table}s.csv", [row.values for row in rows])
        for row in found.get("document_version", ()):
            self._file("sources", f"{row.document_id}-{str(row.values['content'])[:16]}.json", row.values["canonical"])
        for row in found.get("audit_file", ()):
            sha256 = str(row.values["sha256"])
            self.mappings.add(sha256)
            self._file("mappings", f"{sha256[:16]}-{Path(str(row.values['name'])).name}", row.values["body"])

    def _file(self, room: str, name: str, content: object) -> None:
        path = self.folder / room / re.sub(r"[^\w.-]", "_", name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else b"")

    def _sealed(self, row: SealedRow) -> dict[str, Any]:
        values = {name: self._value(row.table, name, value) for name, value in row.values.items()}
        return {
            **{"shape": row.shape, "row_key": row.row_key, "document_id": row.document_id, "values": values},
            **{"seal": row.seal, "position": row.position, "way": row.way},
        }

    def _value(self, table: str, name: str, value: str | bytes | None) -> object:
        if (table, name) in self.withheld:
            return {"withheld": digest(value).hex()}
        return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value

    def standing(self, reader: PackReader) -> None:
        """Changeable rows as they stand."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in reader.standing():
            found.setdefault(row.table, []).append({"row_key": row.row_key, "values": row.values})
        for table, rows in found.items():
            _lines(self.folder / "standing" / f"{table}.jsonl", rows)
            if table in _CSV:
                _table(self.folder / f"{table}s.csv", [row["values"] for row in rows])
        self.vouchers = len(found.get("voucher", ()))


def _lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


def _table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """For spreadsheets: with a byte order mark, and no cell that begins like a formula."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow(_cell(value) for value in row.values())


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    number = re.fullmatch(r"-?\d+", text)
    return f"'{text}" if text.startswith(_FORMULA) and not number else text


def _manifest(folder: Path, about: Mapping[str, object]) -> str:
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    text = json.dumps({**about, "files": files}, ensure_ascii=False, sort_keys=True, indent=1).encode()
    (folder / "manifest.json").write_bytes(text)
    return hashlib.sha256(text).hexdigest()
