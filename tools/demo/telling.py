"""What the demo prints at its end."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from tools.demo import report
from tools.demo.acts.manual import ManualShown
from tools.demo.acts.past_month import MonthShown
from tools.demo.clock import Clock
from tools.demo.examine import Result
from tools.demo.stack import Stack

TARGET_P95_SECONDS = 15.0
_SIDES = {"oa": "OA 应有", "register": "register 台账", "finance": "finance 财务"}


def tell(result: Result, stack: Stack, clock: Clock, seed: int) -> None:
    """The table."""
    if result.month is not None:
        _tell_month(result.month)
    vouchers = Counter(row["kind"] for row in result.finance)
    happened = result.happened
    print(f"\n== Documents by final state 单据最终状态 ({len(result.play.documents)} live{_and(result)}, seed {seed})")
    print(report.table(dict(report.final_states(result.oa, result.held).most_common())))
    print("\n== Vouchers in the ledger 凭证")
    print(
        report.table(
            {
                "posted expense vouchers 报销凭证": vouchers["expense"],
                "reversed 红字冲销": vouchers["reversal"],
                "payment vouchers 付款凭证": vouchers["payment"],
                "live documents with their number written back 已回写": happened.written_back,
                **{f"held: {reason} 挂起": count for reason, count in Counter(result.held.values()).items()},
            }
        )
    )
    print("\n== What happened 发生了什么")
    print(report.table({name: getattr(happened, name) for name in happened.__slots__}))
    for what, count in result.play.refused.items():
        print(f"  refused by the OA, as it should: {what}: {count}")
    print("\n== Lag from the approval's commit in the OA to the write-back's commit there 时延")
    print(report.table({"the paced approvals": result.lag_paced, "all approvals, burst included": result.lag_all}))
    if result.lag_paced is not None:
        met = "met" if result.lag_paced.p95 <= TARGET_P95_SECONDS else "MISSED"
        met += ", while processes were being killed" if result.kills else ""
        print(f"  target: p95 of the paced approvals ≤ {TARGET_P95_SECONDS:.0f} s: {met}")
    print("\n== The checker's four sets (journals of OA and ledger only) 核对")
    print("\n".join(f"  {line}" for line in shortened(result.checker_text.splitlines())))
    if result.by_hand is not None:
        _tell_by_hand(result.by_hand)
    _tell_kills(result)
    _tell_time(result, stack, clock)
    if result.failures:
        print("\n== NOT shown 未达成")
        print("\n".join(f"  {failure}" for failure in result.failures))
    _tell_where(stack)


def _tell_time(result: Result, stack: Stack, clock: Clock) -> None:
    print("\n== Where the time went 时间 (parts of the start run side by side)")
    parts = {f"start: {name}": f"{seconds:.0f} s" for name, seconds in stack.seconds.items()}
    phases = {name: f"{seconds:.0f} s" for name, seconds in clock.phases.items()}
    print(report.table({**parts, **phases, "whole": f"{clock.now:.0f} s"}))
    states = ", ".join(f"{state} {count}" for state, count in result.runs["states"].items())
    mean, longest = result.runs["run"]
    if mean is not None:
        print(
            f"  DAG runs: {states}; a run takes {mean.total_seconds():.1f} s, at most {longest.total_seconds():.1f} s"
        )
    for task, seconds in result.month.tasks if result.month else ():
        print(f"  month, task {task}: {seconds:.1f} s")
    for task, average, most in result.runs["tasks"]:
        print(f"  task {task}: mean {average:.2f} s, max {most:.2f} s")


def _tell_where(stack: Stack) -> None:
    if stack.airflow is None:
        return
    print(f"\n== Airflow UI: {stack.airflow.url}")
    for name, password in stack.airflow.passwords().items():
        print(f"  {name} / {password}")
    sys.stdout.flush()


def shortened(lines: Sequence[str], most: int = 8) -> list[str]:
    """Long lists of ids (indented lines) cut; a set that must be empty is never cut."""
    found: list[str] = []
    listed, cut = 0, False
    for line in lines:
        if not line.startswith("  "):
            if listed > most:
                found.append(f"  … {listed - most} more")
            cut, listed = line.startswith("named"), 0
        elif cut:
            listed += 1
        if listed <= most:
            found.append(line)
    return found


def _and(result: Result) -> str:
    return f" and {len(result.month.month.documents)} of {result.month.month.period}" if result.month else ""


def _tell_month(shown: MonthShown) -> None:
    print(f"\n== The past month {shown.month.period} by the monthly DAG 月度批量")
    print(report.table({f"the OA held: {story}": count for story, count in shown.month.stories().most_common()}))
    for one in shown.companies:
        print(f"  -- company {one.company} · period {shown.month.period}: run {one.state}")
        print(report.table(dict(_both_sides(one.sums)), indent="     "))
        explained = Counter(f"{row['what']}: {row['detail']}" for row in one.differences if row["explained"])
        for text, count in explained.most_common():
            print(f"     explained 已解释: {count} × {text}")
        for row in (row for row in one.differences if not row["explained"]):
            print(f"     UNEXPLAINED 未解释: {row['what']} {row['business_number']} {row['key']} {row['detail']}")
        print(f"     unexplained differences 未解释差异: {one.unexplained}")
    print(f"  -- run again for each company: {', '.join(shown.again)}; {shown.changed}")
    print("  -- the same month in the ledger's own tables (the truth is made from the stories, not from the suite)")
    truth = shown.month.totals()
    for key in sorted(truth.keys() | shown.ledger.keys()):
        found, wanted = shown.ledger.get(key, (0, 0)), truth.get(key, (0, 0))
        mark = "=" if found == wanted else "NOT"
        print(f"     {' '.join(key)}: {found[0]} vouchers {_yuan(found[1])} {mark} {wanted[0]} {_yuan(wanted[1])}")


def _both_sides(sums: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    """One line for each kind and currency: count and sum of each side."""
    lines: dict[str, list[str]] = {}
    for row in sorted(sums, key=lambda row: list(_SIDES).index(str(row["side"]))):
        text = f"{_SIDES[row['side']]} {row['vouchers']} · {_yuan(int(row['amount_minor']))}"
        lines.setdefault(f"{row['kind']} {row['currency']}", []).append(text)
    return ((name, " | ".join(sides)) for name, sides in sorted(lines.items()))


def _yuan(fen: int) -> str:
    return f"{Decimal(fen).scaleb(-2):,.2f}"


def _tell_by_hand(shown: ManualShown) -> None:
    print("\n== By hand, with the manual DAG 手工同步")
    for run in shown.runs:
        print(f"  -- {run.title}: {run.state} after {run.seconds:.0f} s")
        for row in run.previews:
            print(f"     {row['business_number']}: {row['verdict']} {_problems(row)}".rstrip())
            for voucher in row["vouchers"]:
                head = f"{voucher['voucher_word']} {voucher['posting_date']} {voucher['summary']}"
                print(f"        {head} [{voucher['state']}]")
                for line in voucher["lines"]:
                    side = "借" if line["side"] == "D" else "贷"
                    print(f"          {side} {line['account']} {_yuan(int(line['local_amount_minor']))}")
        print(f"     {run.gained}")


def _problems(row: Mapping[str, Any]) -> str:
    return "; ".join(f"{one['code']} {one['field']}".strip() for one in row["problems"])


def _tell_kills(result: Result) -> None:
    if result.kills:
        print("\n== Killed with -9, each once 逐一强杀")
        print("\n".join(f"  {killed}" for killed in result.kills))
