"""What a proof prints: documents, kills, faults by kind, the four sets, unresolved, worst lag, seed."""

from __future__ import annotations

from collections import Counter

from tools.demo.report import table
from tools.prove.conductor import Proof


def tell(proof: Proof) -> None:
    """The table of one seed."""
    print(f"\n== Proof 证明: seed {proof.seed}, {proof.documents} documents, {proof.seconds:.0f} s")
    print(table(_facts(proof)))
    print("\n== Kills 终止进程 (name: -9 / clean)")
    print(table(_kills(proof)))
    print("\n== Faults that fired, by kind 已注入的故障")
    print(table(dict(sorted(proof.fired.items()))))
    if proof.never_fired:
        print(f"  not in this run 本次未出现: {', '.join(proof.never_fired)}")
    print("\n== The checker's four sets (journals of OA and ledger only) 核对")
    print("\n".join(f"  {line}" for line in proof.checker_text.splitlines() if not line.startswith("  ")))
    if proof.checker_code:
        print(proof.checker_text)
    if proof.failures:
        print("\n== NOT shown 未达成")
        print("\n".join(f"  {failure}" for failure in proof.failures))


def _facts(proof: Proof) -> dict[str, object]:
    operations = proof.history
    return {
        "documents 单据": proof.documents,
        "with vouchers at least 至少入账": proof.moved_at_least,
        "kills 终止次数": len(proof.kills),
        "faults 故障次数": proof.fired.total(),
        "people's operations: invoked 操作": operations["invoke"],
        "… ok / fail / unknown": f"{operations['ok']} / {operations['fail']} / {operations['unknown']}",
        "vouchers in doubt at the end 未决": proof.unresolved,
        "held with a reason 挂起": ", ".join(f"{name} {n}" for name, n in sorted(proof.held.items())) or "0",
        "lag from approval to write-back 时延": proof.lag or "none measured",
        **{f"refused by the OA: {what}": count for what, count in proof.refused.items()},
    }


def _kills(proof: Proof) -> dict[str, object]:
    hard = Counter(kill.name for kill in proof.kills if not kill.clean)
    clean = Counter(kill.name for kill in proof.kills if kill.clean)
    return {name: f"{hard[name]} / {clean[name]}" for name in sorted(hard | clean)}
