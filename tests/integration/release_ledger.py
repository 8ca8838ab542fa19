"""The ledger that some release makes of a corpus of documents, in a process of its own.

``python release_ledger.py '{"plugins": …, "include": …}' < corpus.json``: the package comes from ``plugins``, whichever
release lies there. Each log is played entry by entry; what is called for is posted at once. Prints a JSON object:
document -> the vouchers in order of posting.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

given: dict[str, Any] = json.loads(sys.argv[1])
sys.path.insert(0, given["plugins"])

import finbridge  # noqa: E402 - the release is chosen above
from finbridge.core.documents import EventKind, LogEntry  # noqa: E402 - see above
from finbridge.core.fold import fold  # noqa: E402 - see above
from finbridge.core.lifecycle import VoucherState  # noqa: E402 - see above
from finbridge.core.plan import Create, Registered, Reverse, plan  # noqa: E402 - see above
from finbridge.core.ports import TranslationRequest  # noqa: E402 - see above
from finbridge.core.vouchers import Voucher, red_reversal  # noqa: E402 - see above
from finbridge.flows.config import load_flow  # noqa: E402 - see above
from finbridge.mapping import load_translator, read_code_files  # noqa: E402 - see above

INCLUDE = Path(given["include"])
FLOW = load_flow(INCLUDE / "flows" / "weaver_tryton__expense_claim.yaml")


class Life:
    """One document and its vouchers; everything that is called for succeeds."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.posted: dict[str, Voucher] = {}
        self.reversed: set[str] = set()
        self.problems: list[str] = []

    def requests(self, length: int) -> list[TranslationRequest]:
        """Vouchers that the first entries of the log call for; reversals are made on the way."""
        log = [LogEntry(i, EventKind(kind), datetime.fromisoformat(at)) for i, kind, at in self.document["log"]]
        folded = fold(log[:length])
        wanted = []
        for action in plan(folded, "content", [self._registered(voucher) for voucher in self.posted.values()]):
            if isinstance(action, Reverse):
                red = red_reversal(self.posted[action.key], action.cause.local_at.date(), "红字冲销")
                self.posted[red.key] = red
                self.reversed.add(action.key)
            elif isinstance(action, Create):
                wanted.append(self._request(action))
        return wanted

    def _registered(self, voucher: Voucher) -> Registered:
        state = VoucherState.REVERSED if voucher.key in self.reversed else VoucherState.POSTED
        identity = voucher.identity
        return Registered(voucher.key, identity.kind, identity.cause, state, "content", voucher.reverses_key)

    def _request(self, action: Create) -> TranslationRequest:
        return TranslationRequest(
            document_id=self.document["document_id"],
            kind=action.kind,
            cause=action.cause,
            company=self.document["company"],
            source=FLOW.source,
            business_number=self.document["number"],
            currency="CNY",
            canonical=self.document["canonical"].encode(),
        )

    def ledger(self) -> list[list[str]]:
        """Key, kind, period, fingerprint and what it reverses, in order; and why a voucher could not be made."""
        rows = [[v.key, str(v.identity.kind), v.period, v.content, v.reverses_key or ""] for v in self.posted.values()]
        return rows + [["", "problem", "", code, ""] for code in self.problems]


def play(documents: list[dict[str, Any]]) -> dict[str, list[list[str]]]:
    """Entry after entry, all documents side by side, so that the engine is asked a few times only."""
    lives = {document["document_id"]: Life(document) for document in documents}
    translator = load_translator(INCLUDE / "mappings" / FLOW.mapping)
    codes = read_code_files(INCLUDE / "codes" / "weaver_tryton")
    for length in range(1, max(len(document["log"]) for document in documents) + 1):
        asked = [
            request
            for life in lives.values()
            if length <= len(life.document["log"])
            for request in life.requests(length)
        ]
        if asked:
            made = translator.translate(asked, codes)
            for voucher in made.vouchers:
                lives[voucher.identity.document_id].posted[voucher.key] = voucher
            for problem in made.problems:
                lives[problem.document_id].problems.append(problem.code)
    return {name: life.ledger() for name, life in lives.items()}


assert Path(finbridge.__file__ or "").is_relative_to(given["plugins"]), finbridge.__file__
sys.stdout.write(json.dumps(play(json.load(sys.stdin)), ensure_ascii=False))
