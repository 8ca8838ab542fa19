"""A preview says what the check will do, for any history, and touches nothing."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import VoucherState
from finbridge.core.ports import CodeRow, Problem
from finbridge.core.preview import NEW, Known, Preview, PreviewVerdict, Window
from finbridge.flows.manual import is_news
from finbridge.flows.preview import Look, look
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.flow_fake_hub import FakeHub
from tests.unit.flow_fakes import FakeJudge
from tests.unit.flow_world import World

V = PreviewVerdict


@dataclass
class Runs:
    """What a preview asks of the hub, from the hub in memory."""

    hub: FakeHub

    @property
    def manual_runs(self) -> Runs:
        return self

    def codes(self, flow_id: str) -> Sequence[CodeRow]:
        return self.hub.codes(flow_id)

    def by_number(self, flow_id: str, numbers: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return {number: [number] for number in numbers if number in self.hub.docs}

    def approved(self, flow_id: str, window: Window) -> Sequence[str]:
        return []

    def note(self, flow_id: str, document_ids: Iterable[str], *, actor: str, action: str, reason: str) -> None:
        raise AssertionError("a preview notes nothing")

    def known(self, flow_id: str, document_ids: Iterable[str]) -> Mapping[str, Known]:
        found = {}
        for name in document_ids:
            doc = self.hub.docs.get(name)
            if doc is None:
                continue
            work = self.hub._work(doc)
            found[name] = Known(
                company=work.company,
                business_number=work.business_number,
                content=work.content,
                standing="due",
                moving=False,
                problem=work.problem,
                events=work.events,
                register=work.register,
                vouchers={key: row.voucher for key, row in doc.vouchers.items()},
                numbers={key: row.number for key, row in doc.vouchers.items() if row.number},
                holds=tuple(("plan", Problem(document_id=name, code=code, field="", detail="")) for code in doc.holds),
            )
        return found


def looked(world: World, *names: str) -> Look:
    return asyncio.run(
        look(
            flow=world.flow,
            hub=Runs(world.hub),
            source=world.oa,
            translator=world.translator,
            judge=world.judge,
            document_ids=names,
        )
    )


#: What happens to a claim between two looks; the usual ones more often.
MOVES = [["提交", "批准"]] * 3 + [["退回"], ["撤回"], ["付款"], ["付款"], [], ["提交"], ["保存"], ["批准"], ["会签"]]
steps = st.tuples(
    st.sampled_from(MOVES),
    st.sampled_from(["100"] * 7 + ["200", "0", "x", "7"]),
    st.sampled_from(["1000"] * 9 + ["9999"]),
    st.booleans(),
)
histories = st.builds(
    lambda first, others: [(["提交", "批准"], first, "1000", True), *others],
    st.sampled_from(["100", "100", "0", "x"]),
    st.lists(steps, min_size=1, max_size=4),
) | st.lists(steps, min_size=1, max_size=3)


@settings(max_examples=250, deadline=None)
@given(history=histories)
def test_a_preview_says_what_the_check_will_do(history: list[tuple[list[str], str, str, bool]]) -> None:
    world = World(judge=FakeJudge(bad={"7": "unlucky"}))
    for operations, amount, company, swept in history:
        world.clock.sleep(60)
        world.oa.put("1", amount, *operations, company=company)
        if swept:
            asyncio.run(world.sweep())
            world.clock.sleep(300)
    before = copy.deepcopy((world.hub.docs, world.ledger.entries, world.oa.documents))
    seen = looked(world, "1")
    assert (world.hub.docs, world.ledger.entries, world.oa.documents) == before
    (preview,) = seen.previews
    known = set(world.hub.docs["1"].vouchers) if "1" in world.hub.docs else set()
    asyncio.run(world.collect())
    world.check()
    doc = world.hub.docs["1"]
    made = {key: row for key, row in doc.vouchers.items() if key not in known}
    shown = {row["key"]: row for row in preview.vouchers}
    assert {key for key, row in shown.items() if row["state"] == NEW} == set(made)
    for key, row in made.items():
        assert shown[key]["debit_minor"] == row.voucher.debit_minor
        assert shown[key]["posting_date"] == row.voucher.posting_date.isoformat()
    _same_fate(preview, world)


def _same_fate(preview: Preview, world: World) -> None:
    doc = world.hub.docs["1"]
    ready = {row.kind for row in doc.vouchers.values() if row.state is VoucherState.READY}
    if preview.verdict is V.WOULD_POST:
        assert ready & {VoucherKind.EXPENSE, VoucherKind.PAYMENT}
    elif preview.verdict is V.WOULD_REVERSE:
        assert ready == {VoucherKind.REVERSAL}
    elif preview.verdict is V.HELD:
        assert doc.holds and not ready & {VoucherKind.EXPENSE, VoucherKind.PAYMENT}
    else:
        assert not ready
    if preview.verdict is V.POSTED:
        assert world.live("1") == 1
    if preview.verdict is V.NOT_APPROVED:
        assert doc.folded is not None and not doc.folded.approved and not world.live("1")


def test_what_was_read_already_is_no_news_and_every_change_is() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    first = looked(world, "1")
    assert is_news(first.documents["1"], first.known.get("1"))
    asyncio.run(world.collect())
    again = looked(world, "1")
    assert not is_news(again.documents["1"], again.known["1"])
    world.oa.put("1", "200")
    assert is_news(looked(world, "1").documents["1"], again.known["1"])
    world.oa.put("1", "100", "退回")
    assert is_news(looked(world, "1").documents["1"], again.known["1"])
    del world.oa.documents["1"]
    gone = looked(world, "1")
    assert is_news(gone.documents["1"], again.known["1"]) and gone.previews[0].verdict is V.NOT_FOUND
    assert not is_news(gone.documents["1"], None), "nobody knows it: nothing to store"


def test_a_broken_batch_rule_holds_what_would_have_been_posted() -> None:
    world = World(judge=FakeJudge(broken="v"))
    world.oa.put("1", "100", "提交", "批准")
    world.oa.put("2", "100", "提交")
    posting, draft = looked(world, "1", "2").previews
    assert (posting.verdict, [p.code for p in posting.problems]) == (V.HELD, ["broken_batch_rule"])
    assert draft.verdict is V.NOT_APPROVED
    assert posting.vouchers == ()


def test_personal_values_stay_out_of_reasons() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "张三批准")
    (preview,) = looked(world, "1").previews
    assert preview.verdict is V.HELD
    assert [p.code for p in preview.problems] == ["unknown_log_entry"]
    assert "张三" not in preview.problems[0].detail
