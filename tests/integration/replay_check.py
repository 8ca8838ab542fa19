"""A replay in this process, and its rows against the reference."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from finbridge.cli.replay.options import ReplayOptions, Sweep, Target, Twice
from finbridge.cli.replay.run import ReplayResult, replay
from finbridge.cli.replay.servers import Workshop

from tests.integration.replay_reference import COLUMNS, Row, expected

#: What a way of playing may not change. An order inside a second moves no voucher and no end state, but it is what
#: exceptions tell of; who looks once a day does not see what came and went between.
SAME = {
    "base": COLUMNS,
    "repeat": COLUMNS,
    "shuffle": tuple(name for name in COLUMNS if name != "exception"),
    "day": ("document_id", "end_state", "live_vouchers", "live_amount", "payment_vouchers"),
}
#: Of every log here, so that one template of the ledger serves all tests.
YEARS = (2017, 2018, 2019)


def options_of(variant: str, log: Path, out: Path, work: Path, **more: object) -> ReplayOptions:
    """A replay in one of the ways; "base" goes over the OA twice more, with the hub kept and with the hub emptied."""
    ways: dict[str, dict[str, object]] = {
        "base": {"twice": (Twice.HUB_KEPT, Twice.HUB_EMPTIED)},
        "repeat": {"repeat": 3},
        "shuffle": {"shuffle": 7},
        "day": {"sweep": Sweep.DAY},
    }
    return ReplayOptions(log=log, out=out, work=work, years=YEARS, **{**ways[variant], **more})  # type: ignore[arg-type]  # by name


def play_and_compare(
    variant: str, log: Path, workshop: Workshop, out: Path, target: Target = Target.JOURNAL, **more: object
) -> ReplayResult:
    """Play, then compare every row of every pass with the reference."""
    result = replay(options_of(variant, log, out, workshop.folder, target=target, **more), workshop)
    reference = expected(log)
    for one in result.passes:
        wrong = differences(one.rows, reference, SAME[variant])
        assert not wrong, f"{variant}, pass {one.name}: {len(wrong)} rows differ, e.g. {wrong[:5]}"
    assert [one.vouchers for one in result.passes[1:]] == [0] * (len(result.passes) - 1), "a second pass posted"
    assert result.ok, (result.standing, result.unexplained, result.missing)
    return result


def differences(
    rows: Sequence[Mapping[str, str]], reference: Mapping[str, Row], columns: Collection[str]
) -> list[tuple[str, dict[str, tuple[str, str]]]]:
    """Document, and what it shows against what it should show."""
    found = []
    for row in rows:
        want = reference[row["document_id"]]
        wrong = {name: (row[name], want[name]) for name in columns if row[name] != want[name]}
        if wrong:
            found.append((row["document_id"], wrong))
    return found
