"""Check an audit pack: python3 -I -S verify.py [--manifest HASH] [--anchor N:HASH:CHAIN]. 校验审计包。

Needs Python 3.9 and nothing else; shares no code with the suite that wrote the pack. Ends with 0 if all of it fits
together, with 1 and the places that do not otherwise.

A value's digest is SHA-256(00) for null, else SHA-256(01 || bytes); a row's leaf is SHA-256(shape LF row key LF
document id LF digest of each column in order); a Merkle tree is that of RFC 6962; a seal's hash is the SHA-256 of its
body, and its body names the hash of the seal before.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

Row = dict[str, Any]
HERE = Path(__file__).resolve().parent


def names(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


#: The columns of a leaf, in their order.
SHAPES = {
    "inbox/1": names("flow_id document_id raw_sha256 content template stamp raw received_at audit_xid audit_login"),
    "document_version/1": names("flow_id document_id content canonical first_seen_at audit_xid audit_login"),
    "document_line/1": names(
        "flow_id document_id content table_name position line_id fields expense_type event_from event_to "
        "claimed_minor approved_minor payable_minor currency rate local_amount_minor payer_kind payee "
        "cost_bearer allocations audit_xid audit_login"
    ),
    "trail/1": names(
        "trail_id at actor flow_id document_id key action from_state to_state reason mapping before_hash "
        "after_hash audit_xid audit_login"
    ),
    "write_back/1": names(
        "write_back_id flow_id document_id keys fence worker at voucher_number posting_date error result "
        "verified detail audit_xid audit_login"
    ),
    "code_history/1": names(
        "at flow_id table_name company code valid_from old_target old_valid_to new_target new_valid_to maker "
        "checker history_id audit_xid audit_login"
    ),
    "audit_file/1": names("sha256 name version body bound first_seen_at audit_xid audit_login"),
    "audit_change/1": names("change_id at table_name operation row_key document_id starts image audit_xid audit_login"),
}
#: The columns of an image, in their order.
IMAGES = {
    "voucher": names(
        "key company source document_id cause kind split flow_id voucher_group voucher_word business_number "
        "currency business_date document_date posting_date period planned_reversal_date attachment_count "
        "summary prepared_by reviewed_by land_as debit_minor credit_minor reverses_key reverses_number "
        "mapping_id mapping_version mapping_sha256 source_content fingerprint created_at state state_reason "
        "state_since retry_at tries last_sent_at send_fence finance_number finance_id finance_year "
        "finance_posted_on reversed_by_key write_back write_back_at write_back_tries"
    ),
    "voucher_line": names(
        "key line_no position account side amount_minor currency rate local_amount_minor summary party "
        "assignment tax_code department employee supplier customer project contract bank_account "
        "cash_flow_item other_dimensions dimension_names"
    ),
    "source_line": names("key line_no position document_id line_id"),
    "attempt": names("attempt_id key fence worker started_at finished_at outcome detail"),
    "source_event": names("flow_id document_id log_id kind local_at node operation operator received_at"),
    "code_table": names("flow_id table_name company code valid_from valid_to target maker checker changed_at"),
}
AMOUNTS = {"D": "debit_minor", "C": "credit_minor"}


class Pack:
    """A pack, and what is wrong with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about: Row = {}
        self.wrong: list[str] = []
        self.roots: dict[int, str] = {}
        self.notes: dict[tuple[str, str], list[Row]] = {}
        self.evidence: dict[str, list[Row]] = {}
        self.standing: dict[str, list[Row]] = {}

    def say(self, place: str, what: str) -> None:
        """Note a fault."""
        self.wrong.append(f"{place}: {what}")

    # ------------------------------------------------------------ files

    def read_manifest(self) -> str:
        """All files are those that were written, no more and no fewer."""
        raw = (self.folder / "manifest.json").read_bytes()
        self.about = json.loads(raw)
        there = {p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file()}
        files = self.about["files"]
        for name in sorted(there - set(files) - {"manifest.json"}):
            self.say(name, "不在清单中 not in the manifest")
        for name, expected in files.items():
            path = self.folder / name
            if not path.is_file():
                self.say(name, "缺失 missing")
            elif hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                self.say(name, "与清单不符 not as in the manifest")
        for room, into in (("evidence", self.evidence), ("standing", self.standing)):
            for path in sorted((self.folder / room).glob("*.jsonl")):
                into[path.stem] = lines(path)
        return hashlib.sha256(raw).hexdigest()

    # ------------------------------------------------------------ chain

    def check_seals(self, anchors: list[str]) -> None:
        """Seals hash to what they say, and name each other."""
        previous, number = None, 0
        hashes: dict[int, str] = {}
        for seal in lines(self.folder / "seals.jsonl"):
            raw = seal["body"].encode()
            body = json.loads(raw)
            place = f"seals.jsonl {body['number']}"
            if hashlib.sha256(raw).hexdigest() != seal["hash"]:
                self.say(place, "哈希不符 the hash does not fit")
            if previous is not None and (body["previous"] != previous or body["number"] != number + 1):
                self.say(place, "与前一封印不衔接 does not follow the seal before")
            previous, number = seal["hash"], body["number"]
            hashes[number] = seal["hash"]
            self.roots[number] = body["root"]
            if number == 1 and seal["hash"] != self.about["chain"]:
                self.say(place, "不是清单所述的链 not the chain that the manifest names")
        for anchor in anchors:
            wanted, found, chain = anchor.split(":")
            if chain != self.about["chain"] or hashes.get(int(wanted), found) != found:
                self.say("seals.jsonl", f"与锚不符 not as anchored: {wanted}")
            elif int(wanted) > number:
                self.say("seals.jsonl", f"早于锚 older than the anchor: {wanted}")

    def check_rows(self) -> None:
        """Each row leads to the root of its seal."""
        for table, rows in self.evidence.items():
            seen = set()
            for row in rows:
                place = f"evidence/{table}.jsonl {row['document_id']} {row['row_key']}"
                if row["row_key"] in seen:
                    self.say(place, "重复 twice")
                seen.add(row["row_key"])
                if row["shape"].split("/")[0] != table or list(row["values"]) != SHAPES[row["shape"]]:
                    self.say(place, "表或列名不符 another table's row or other columns")
                if root_of(row) != self.roots.get(row["seal"]):
                    self.say(place, "与封印不符 does not lead to its seal")
                if table == "audit_change":
                    values = row["values"]
                    self.notes.setdefault((values["table_name"], values["row_key"]), []).append(values)

    # ------------------------------------------------------------ rows that change

    def check_standing(self) -> None:
        """Each changeable row is what was noted for it last, and none is missing."""
        shown = {(table, row["row_key"]): row for table, rows in self.standing.items() for row in rows}
        for name, row in shown.items():
            if name not in self.notes:
                self.say(f"standing/{name[0]}.jsonl {name[1]}", "无留痕 no change was noted for it")
                continue
            if list(row["values"]) != IMAGES[name[0]]:
                self.say(f"standing/{name[0]}.jsonl {name[1]}", "列名不符 other columns")
            image = folded(self.notes[name])
            values = list(row["values"].values())
            columns = [c for c, one, two in zip(row["values"], values, image) if one != two]  # noqa: B905 - Python 3.9
            if columns or len(values) != len(image):
                self.say(f"standing/{name[0]}.jsonl {name[1]}", f"与留痕不符 differs from the note: {columns}")
        for name, notes in self.notes.items():
            if name not in shown and max(notes, key=number_of)["operation"] != "delete":
                self.say(f"standing/{name[0]}.jsonl {name[1]}", "缺失 missing")

    # ------------------------------------------------------------ vouchers

    def check_vouchers(self) -> int:
        """Vouchers balance, rest on content and mapping that are here, and moved from state to state without a gap."""
        contents = {row["values"]["content"]: row["values"]["canonical"] for row in self.evidence["document_version"]}
        mappings = {row["values"]["sha256"]: row["values"] for row in self.evidence.get("audit_file", [])}
        totals: dict[tuple[str, str], int] = {}
        for line in self.standing.get("voucher_line", []):
            values = line["values"]
            side = (values["key"], values["side"])
            totals[side] = totals.get(side, 0) + int(values["local_amount_minor"])
        moves: dict[str, list[Row]] = {}
        for row in self.evidence.get("trail", []):
            if row["values"]["to_state"]:
                moves.setdefault(row["values"]["key"], []).append(row["values"])
        vouchers = self.standing.get("voucher", [])
        for voucher in vouchers:
            self.check_voucher(voucher["values"], totals, contents, mappings, moves)
        return len(vouchers)

    def check_voucher(
        self, head: Row, totals: dict[tuple[str, str], int], contents: Row, mappings: Row, moves: Row
    ) -> None:
        """One voucher."""
        place = f"vouchers {head['document_id']} {head['key']}"
        for side, column in AMOUNTS.items():
            if totals.get((head["key"], side), 0) != int(head[column]):
                self.say(place, f"{column} 与分录合计不符 is not the sum of its lines")
        if head["debit_minor"] != head["credit_minor"]:
            self.say(place, "借贷不平 debit and credit differ")
        content = contents.get(head["source_content"])
        if content is None or hashlib.sha256(binary(content)).hexdigest() != head["source_content"]:
            self.say(place, "来源内容缺失或不符 its source content is missing or another")
        self.check_mapping(place, head["mapping_sha256"], mappings)
        state = None
        for move in sorted(moves.get(head["key"], []), key=lambda each: int(each["trail_id"])):
            if move["from_state"] != state:
                self.say(place, f"留痕缺失 an event is missing before trail {move['trail_id']}")
            state = move["to_state"]
        if state != head["state"]:
            self.say(place, "状态与留痕不符 its state is not that of its last event")

    def check_mapping(self, place: str, sha256: str, mappings: Row) -> None:
        """The mapping file of a voucher; one that was made before files were kept has none."""
        mapping = mappings.get(sha256)
        if mapping is None:
            if sha256:
                print(f"注意 note: {place}: 凭证模板文件未留存 its mapping file was not kept")
        elif hashlib.sha256(binary(mapping["body"]) + binary(mapping["bound"])).hexdigest() != sha256:
            self.say(place, "凭证模板不符 its mapping file is another")

    def check_files(self) -> None:
        """Files for people hold what the sealed rows hold."""
        for room, table, column in (("sources", "document_version", "canonical"), ("mappings", "audit_file", "body")):
            sealed = {hashlib.sha256(binary(row["values"][column])).digest() for row in self.evidence.get(table, [])}
            for path in sorted((self.folder / room).glob("*")):
                if hashlib.sha256(path.read_bytes()).digest() not in sealed:
                    self.say(f"{room}/{path.name}", "与封存内容不符 not what was sealed")


def lines(path: Path) -> list[Row]:
    """The objects of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def binary(value: object) -> bytes:
    """A value that is no text."""
    return base64.b64decode(value["base64"]) if isinstance(value, dict) and "base64" in value else b""


def number_of(note: Row) -> int:
    """The order of notes."""
    return int(note["change_id"])


def digest(value: object) -> bytes:
    """A value's digest; of one that is withheld, the digest itself stands there."""
    if isinstance(value, dict) and "withheld" in value:
        return bytes.fromhex(value["withheld"])
    if value is None:
        return hashlib.sha256(b"\x00").digest()
    return hashlib.sha256(b"\x01" + (value.encode() if isinstance(value, str) else binary(value))).digest()


def root_of(row: Row) -> str:
    """Where a row's way ends."""
    head = f"{row['shape']}\n{row['row_key']}\n{row['document_id']}\n".encode()
    leaf = hashlib.sha256(head + b"".join(digest(value) for value in row["values"].values())).digest()
    found = hashlib.sha256(b"\x00" + leaf).digest()
    for side, neighbour in row["way"]:
        other = bytes.fromhex(neighbour)
        found = hashlib.sha256(b"\x01" + (other + found if side == "L" else found + other)).digest()
    return found.hex()


def folded(notes: list[Row]) -> list[Any]:
    """A row as its notes leave it: each note holds the columns from ``starts`` on."""
    image: list[Any] = []
    for note in sorted(notes, key=number_of):
        image = image[: int(note["starts"])] + array(note["image"])
    return image


def array(text: str) -> list[Any]:
    """PostgreSQL's text form of an array of texts."""
    found: list[str | None] = []
    at = 1
    while at < len(text) - 1:
        if text[at] == '"':
            value, at = "", at + 1
            while text[at] != '"':
                at += text[at] == "\\"
                value += text[at]
                at += 1
            found.append(value)
            at += 2
        else:
            end = text.find(",", at)
            end = len(text) - 1 if end < 0 else end
            found.append(None if text[at:end] == "NULL" else text[at:end])
            at = end + 1
    return found


def main() -> int:
    """Check; 0 or 1."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--manifest", help="the manifest's hash as it was printed when the pack was written")
    parser.add_argument("--anchor", action="append", default=[], help="number:hash:chain from a log or an anchor file")
    asked = parser.parse_args()
    pack = Pack(HERE)
    try:
        found = pack.read_manifest()
        if asked.manifest not in (None, found):
            pack.say("manifest.json", "不是当时的清单 not the manifest that was written")
        pack.check_seals(asked.anchor)
        pack.check_rows()
        pack.check_standing()
        vouchers = pack.check_vouchers()
        pack.check_files()
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OSError) as error:
        pack.say("pack", f"无法读取 cannot be read: {type(error).__name__} {error}")
        vouchers, found = 0, ""
    for line in pack.wrong[:100]:
        print(line)
    good = not pack.wrong
    word = "完好 all of it fits together" if good else f"不符 {len(pack.wrong)} places do not fit"
    print(f"{word}; 凭证 vouchers: {vouchers}; 清单 manifest: {found}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
