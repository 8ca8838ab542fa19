"""Reason codes of the named lists, as people read them: Chinese, English, and whose turn it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """What a code means. ``turn``: finance, submitter, it (who keeps the flow's files), or nobody (told, not asked)."""

    zh: str
    en: str
    turn: str


REASONS: dict[str, Reason] = {
    # the document
    "unknown_code": Reason("对照表中没有该代码，请维护对照表", "code not in the code table: add it", "finance"),
    "bad_amount": Reason("金额格式不正确", "amount is not a plain number", "submitter"),
    "vat_mismatch": Reason("税额与税率不符", "VAT amount does not fit its rate", "submitter"),
    "translation_failed": Reason("凭证模板无法处理该单据", "the mapping fails on this document", "it"),
    "unknown_template": Reason("流程版本未登记", "workflow version is not in the flow's version group", "it"),
    "unknown_company": Reason("公司未登记", "company is not served by the flow", "it"),
    "unknown_log_entry": Reason("审批记录无法识别，请补充规则", "approval log entry not known: add a rule", "it"),
    "document_gone": Reason("单据在 OA 中已不存在", "the document is gone from the OA", "finance"),
    # finance's answer
    "rejected": Reason("财务系统拒绝该凭证", "finance rejects the voucher", "finance"),
    "period_closed": Reason(
        "会计期间未开放，系统会自动重试", "the accounting period is closed: tried again", "finance"
    ),
    "conflict": Reason("财务系统中已有同键但内容不同的凭证", "finance holds other content under this key", "finance"),
    # decisions
    "changed_after_posting": Reason("过账后单据内容有变", "the document changed after posting", "finance"),
    "approval_returned_after_reversal": Reason("红冲后审批恢复", "approval came back after the reversal", "finance"),
    "approval_vanished": Reason("审批记录消失", "the approval vanished from the log", "finance"),
    # the form
    "write_back_not_possible": Reason("无法回写到 OA 表单", "the form cannot be written any more", "nobody"),
    # the log's oddities
    "paid_not_approved": Reason("未审批已付款", "paid without approval", "finance"),
    "paid_twice": Reason("重复付款记录", "paid twice", "finance"),
    "paid_before_or_without_request": Reason("付款早于或缺少付款申请", "paid before or without a request", "finance"),
    "payment_requested_not_approved": Reason("未审批申请付款", "payment requested without approval", "finance"),
}
_OTHER = Reason("请查看明细", "see the detail", "finance")


def reason(code: str) -> Reason:
    """The reason of a code; for one that is not listed, a text that says to look at the detail."""
    return REASONS.get(code, _OTHER)
