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
    "broken_batch_rule": Reason(
        "批次规则不通过，本批不过账", "a batch rule is broken: nothing of the batch is posted", "it"
    ),
    # rules of the suites and of the mapping
    "ambiguous_code": Reason("对照表有重叠的行", "two rows of the code table are valid at once", "finance"),
    "required_missing": Reason("必填项为空", "a required field is empty", "submitter"),
    "duplicate_identity": Reason("单据或凭证重复", "the same document or voucher is there twice", "it"),
    "currency_not_allowed": Reason("币种不在允许范围", "the currency is not allowed", "submitter"),
    "date_out_of_range": Reason("日期超出范围", "a date is out of range", "submitter"),
    "attachments_out_of_range": Reason("附件张数超出范围", "the number of attachments is out of range", "submitter"),
    "amount_out_of_range": Reason("金额超出范围", "an amount is out of range", "submitter"),
    "approved_above_claimed": Reason("核定金额大于申请金额", "more was approved than claimed", "submitter"),
    "payable_differs": Reason(
        "付款金额与核定金额不符", "what is to be paid differs from what was approved", "submitter"
    ),
    "lines_differ": Reason("明细合计与核定总额不符", "the lines do not add up to the approved total", "submitter"),
    "lines_missing": Reason("没有明细", "there are no lines", "submitter"),
    "lines_not_approved_total": Reason(
        "明细核定金额合计不等于核定总额", "the approved lines do not add up to the approved total", "submitter"
    ),
    "payable_not_approved_total": Reason(
        "应付合计不等于核定总额", "what is to be paid is not what was approved", "submitter"
    ),
    "company_mismatch": Reason("表单公司与记账公司不一致", "the form names another company", "submitter"),
    "currency_mismatch": Reason("表单币种不是公司本位币", "the form's currency is not the company's", "submitter"),
    "tax_rate_missing": Reason("可抵扣发票没有税率", "a deductible invoice without its rate", "submitter"),
    "account_not_allowed": Reason("科目不在允许范围", "the account is not allowed here", "finance"),
    "party_missing": Reason("缺往来单位", "a line lacks its party", "finance"),
    "unbalanced": Reason("借贷不平", "debit and credit differ", "it"),
    "unbalanced_voucher": Reason("借贷不平", "debit and credit differ", "it"),
    "incomplete_voucher": Reason("分录不完整", "a line of the voucher is not complete", "it"),
    "voucher_not_amount": Reason("借方合计不等于应记金额", "the debit side is not the amount to post", "it"),
    "bad_side": Reason("借贷方向不正确", "a line has neither side", "it"),
    "wire_shape": Reason("OA 返回的单据无法读取", "the OA's answer cannot be read", "it"),
    # finance's answer
    "rejected": Reason("财务系统拒绝该凭证", "finance rejects the voucher", "finance"),
    "period_closed": Reason(
        "会计期间未开放，系统会自动重试", "the accounting period is closed: tried again", "finance"
    ),
    "conflict": Reason("财务系统中已有同键但内容不同的凭证", "finance holds other content under this key", "finance"),
    # decisions
    "changed_after_posting": Reason("过账后单据内容有变", "the document changed after posting", "finance"),
    "approval_returned_after_reversal": Reason(
        "已红冲而单据仍为批准状态，请重新审批", "reversed, and still approved: it needs a new approval", "finance"
    ),
    "approval_vanished": Reason("审批记录消失", "the approval vanished from the log", "finance"),
    # the form
    "write_back_not_possible": Reason("无法回写到 OA 表单", "the form cannot be written any more", "nobody"),
    # the payment status in the OA
    "payment_status_in_doubt": Reason(
        "付款状态已发送但未确认，系统会先查询再重发",
        "payment status sent without an answer: looked for first",
        "nobody",
    ),
    "payment_status_waits": Reason(
        "OA 暂未接收付款状态，系统会自动重试", "the OA did not take it: tried again", "nobody"
    ),
    "payment_status_refused": Reason("OA 拒绝写入付款状态", "the OA refuses the payment status", "it"),
    "payment_status_not_shown": Reason(
        "OA 已保存付款状态但显示不一致", "the OA saved the payment status and shows another", "it"
    ),
    "payment_status_doubled": Reason("OA 付款状态表有重复行", "the document has two rows in the OA's table", "it"),
    "voucher_not_in_finance": Reason(
        "台账中已过账的凭证在财务系统中不存在", "posted by the register, not in finance", "finance"
    ),
    "voucher_of_another_document": Reason(
        "财务系统中该凭证属于其他单据", "finance shows the voucher under another document", "finance"
    ),
    # the log's oddities
    "paid_not_approved": Reason("未审批已付款", "paid without approval", "finance"),
    "order_unclear": Reason("同一秒内的审批先后不明", "the order inside one second is not clear", "finance"),
    "oa_cannot_read": Reason("OA 无法返回该单据", "the OA fails on this document", "it"),
    "paid_twice": Reason("重复付款记录", "paid twice", "finance"),
    "paid_before_or_without_request": Reason("付款早于或缺少付款申请", "paid before or without a request", "finance"),
    "payment_requested_not_approved": Reason("未审批申请付款", "payment requested without approval", "finance"),
    **{
        f"{lost}_after_{paid}": Reason(f"{paid_zh}后{lost_zh}", f"{lost} after {paid_en}", "finance")
        for lost, lost_zh in (("rejected", "退回或撤回"), ("submitted", "重新提交"), ("saved", "重新编辑"))
        for paid, paid_zh, paid_en in (("paid", "付款", "payment"), ("payment_requested", "申请付款", "its request"))
    },
}
_OTHER = Reason("请查看明细", "see the detail", "finance")


def reason(code: str) -> Reason:
    """The reason of a code; for one that is not listed, a text that says to look at the detail."""
    return REASONS.get(code, _OTHER)
