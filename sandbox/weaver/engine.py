"""What the workflow server does to a request: create, submit, save, reject, withdraw, force over, delete.

Every method changes memory and adds a journal entry in one step, without awaiting: two calls never interleave. The
caller waits for the commit before it answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.weaver.clock import VirtualClock
from sandbox.weaver.forms import DetailChange, Refusal, other_params, param_error, read_details, read_main
from sandbox.weaver.model import APPROVE, ARCHIVE, CREATE, LogRow, Node, Request, User, Workflow, foreign_node
from sandbox.weaver.options import Options
from sandbox.weaver.store import Store

Params = Mapping[str, str]


def _not_my_turn(request: Request, user: User, kind: str, **extra: object) -> Refusal:
    isremark = request.isremark(user.id)
    return Refusal(
        "NO_PERMISSION",
        {"isremark": int(isremark) if isremark else -1, **extra},
        {"msgType": f"NO_REQUEST_{kind}_PERMISSION"},
    )


class Engine:
    """The workflow server over the store."""

    def __init__(
        self,
        store: Store,
        clock: VirtualClock,
        workflows: dict[str, Workflow],
        users: Mapping[str, User],
        options: Options,
    ) -> None:
        self.store, self.clock, self.workflows, self.users, self.options = store, clock, workflows, users, options

    # ------------------------------------------------------------ finding

    def request_of(self, params: Params) -> Request:
        """The request that ``requestId`` (or ``requestid``) names; raises Refusal where there is none."""
        text = params.get("requestId") or params.get("requestid") or ""
        request = self.store.find(int(text)) if text.isdigit() and len(text) < 19 else None
        if request is None:
            if text in {"", "0"} or self.options.gone_answer == "PARAM_ERROR":
                raise param_error(requestId=text or "0")
            raise Refusal(self.options.gone_answer, {"requestId": text})
        return request

    def visible(self, request: Request, user: User) -> bool:
        """Whether the user takes part in the request, or sees everything."""
        return user.sees_all or request.isremark(user.id) != ""

    def readable(self, params: Params, user: User) -> Request:
        """A request that the user may read; raises Refusal otherwise."""
        request = self.request_of(params)
        if not self.visible(request, user):
            raise Refusal("NO_PERMISSION", {"canView": False}, {"msgType": "NO_REQUEST_VIEW_PERMISSION"})
        return request

    def operators_at(self, node: Node, creator: str) -> list[str]:
        """Who must act at a node."""
        operator = creator if node.operator == "creator" else node.operator
        return [operator] if operator else []

    def node_of(self, request: Request) -> Node:
        """The node where a request stands, one that the graph does not know included."""
        workflow = self.workflows[request.workflow_id]
        return workflow.node(request.node_id) or foreign_node(request.node, request.node_type)

    # ------------------------------------------------------------ acting

    def create(self, params: Params, user: User, *, flow_on_fails: bool = False) -> int:
        """doCreateRequest. Not idempotent: the same payload twice makes two requests.

        Returns the new id; 0 where flow-on failed and the request was deleted again (delReqFlowFaild).
        """
        workflow = self.workflows.get(params.get("workflowId", ""))
        if workflow is None:
            raise param_error(workflowId=params.get("workflowId", "0"))
        if not params.get("requestName"):
            raise param_error(requestName="")
        main = read_main(params.get("mainData"), workflow, "workflowId")
        details = read_details(params.get("detailData"), workflow, None, "workflowId")
        other = other_params(params.get("otherParams"))
        request = self._fresh(workflow, params, user, main)
        self._apply(request, workflow, {}, details, may_delete=False)
        flow_on = str(other.get("isnextflow", 1)) != "0"
        row = self._log(request, workflow.first, "提交" if flow_on else "保存", user, params)
        if flow_on and not flow_on_fails:
            self._move(request, workflow.after(workflow.first), user)
        self._done(request, "create", user, [row])
        if flow_on and flow_on_fails and str(other.get("delReqFlowFaild", 1)) != "0":
            request.deleted = True
            self._done(request, "delete", user, [])
            return 0
        return request.id

    def _fresh(self, workflow: Workflow, params: Params, user: User, main: dict[str, str]) -> Request:
        now = self.clock.text()
        request = Request(
            id=self.store.next_request(),
            key="",
            workflow_id=workflow.id,
            name=params["requestName"],
            level=params.get("requestLevel", "0"),
            creator=user.id,
            node_id="",
            node="",
            node_type=CREATE,
            operators=[],
            main=dict.fromkeys(workflow.main, "") | main,
            details={table: [] for table in workflow.details},
            log=[],
            created=now,
            received=now,
            operated=now,
            last_operator=user.id,
        )
        request.place(workflow.first, [user.id])
        return request

    def submit(self, params: Params, user: User) -> None:
        """submitRequest: save the values, and flow on unless ``otherParams.src`` is ``save``."""
        request = self.request_of(params)
        workflow = self.workflows[request.workflow_id]
        if request.isremark(user.id) != "0":
            raise _not_my_turn(request, user, "SUBMIT")
        main = read_main(params.get("mainData"), workflow, "requestId")
        details = read_details(params.get("detailData"), workflow, request, "requestId")
        saving = str(other_params(params.get("otherParams")).get("src", "submit")) == "save"
        self._apply(request, workflow, main, details, may_delete=not saving)
        node = self.node_of(request)
        if saving:
            rows = [self._log(request, node, "保存", user, params)] if node.type == CREATE else []
            self._done(request, "save", user, rows)
            return
        target = self._target(request, workflow, node)
        row = self._log(request, node, "批准" if node.type == APPROVE else "提交", user, params)
        self._move(request, target, user)
        self._done(request, _submit_kind(node, target), user, [row])

    def _target(self, request: Request, workflow: Workflow, node: Node) -> Node:
        direct = workflow.node(request.direct_to) if request.direct_to else None
        request.direct_to = ""
        if direct is not None:
            return direct
        return workflow.after(node) if node in workflow.nodes else workflow.archive

    def reject(self, params: Params, user: User) -> None:
        """rejectRequest: by a current operator at an approval node only, to the draft or to a named earlier node."""
        request = self.request_of(params)
        workflow = self.workflows[request.workflow_id]
        if request.isremark(user.id) != "0" or request.node_type != APPROVE:
            raise _not_my_turn(request, user, "REJECT", takisremark=0, nodeType=request.node_type)
        other = other_params(params.get("otherParams"))
        node = self.node_of(request)
        target = _reject_target(workflow, node, other)
        request.direct_to = node.id if str(other.get("isSubmitDirect", "")) == "0" else ""
        row = self._log(request, node, "退回", user, params)
        self._move(request, target, user, by_submit=False)
        self._done(request, "reject", user, [row])

    def withdraw(self, params: Params, user: User) -> None:
        """withdrawRequest: by whoever brought it to this node, or by its creator where the form lets them."""
        request = self.request_of(params)
        workflow = self.workflows[request.workflow_id]
        creator = user.id == request.creator and request.node_id in workflow.creator_withdraws_at
        mover = user.id == request.moved_by and bool(request.came_from)
        if request.archived or not (creator or mover):
            raise _not_my_turn(request, user, "WITHDRAW")
        target = workflow.first if creator else workflow.node(request.came_from) or workflow.first
        row = self._log(request, target, "撤回", user, params)
        self._move(request, target, user, by_submit=False)
        self._done(request, "withdraw", user, [row])

    def force_over(self, params: Params, user: User) -> None:
        """doForceOver: archive by a monitor; a request that is archived already is never a success again."""
        request = self.request_of(params)
        workflow = self.workflows[request.workflow_id]
        monitor = str(other_params(params.get("otherParams")).get("ismonitor", "")) == "1"
        if request.archived or not (monitor and user.monitor):
            raise _not_my_turn(request, user, "FORCEOVER")
        row = self._log(request, self.node_of(request), "强制归档", user, params)
        self._move(request, workflow.archive, user, by_submit=False)
        self._done(request, "force_over", user, [row])

    def delete(self, params: Params, user: User) -> None:
        """deleteRequest: by the creator while it is a draft, or by a monitor."""
        request = self.request_of(params)
        monitor = user.monitor and str(other_params(params.get("otherParams")).get("ismonitor", "")) == "1"
        own_draft = user.id == request.creator and request.node_type == CREATE
        if not (monitor or own_draft):
            raise _not_my_turn(request, user, "DELETE")
        request.deleted = True
        request.operated, request.last_operator = self.clock.text(), user.id
        self._done(request, "delete", user, [])

    # ------------------------------------------------------------ parts

    def _apply(
        self,
        request: Request,
        workflow: Workflow,
        main: dict[str, str],
        details: list[DetailChange],
        *,
        may_delete: bool,
    ) -> None:
        request.main.update(main)
        for change in details:
            change.apply(request, workflow, self.store.next_row, may_delete=may_delete)

    def _log(self, request: Request, node: Node, operate_type: str, user: User, params: Params) -> LogRow:
        date, _, clock = self.clock.text().partition(" ")
        row = LogRow(
            self.store.next_log(), node.id, node.name, operate_type, user.id, date, clock, params.get("remark", "")
        )
        request.log.append(row)
        return row

    def _move(self, request: Request, target: Node, user: User, *, by_submit: bool = True) -> None:
        request.moved_by, request.came_from = (user.id, request.node_id) if by_submit else ("", "")
        request.place(target, [] if target.type == ARCHIVE else self.operators_at(target, request.creator))
        request.received = self.clock.text()

    def _done(self, request: Request, kind: str, user: User, rows: list[LogRow]) -> None:
        request.operated, request.last_operator = self.clock.text(), user.id
        request.participants[user.id] = request.operated
        self.store.changed(request, journal_entry(request, kind, user, rows, request.operated))


def _submit_kind(node: Node, target: Node) -> str:
    if node.type != APPROVE:
        return "submit"
    return "pay" if target.type == ARCHIVE else "approve"


def _reject_target(workflow: Workflow, node: Node, other: Mapping[str, Any]) -> Node:
    wanted = other.get("RejectToNodeid")
    if wanted is None:
        return workflow.first
    target = workflow.node(str(wanted))
    if target is None:
        raise param_error(Invalid_parameter_RejectToNodeid=str(wanted))
    known = node in workflow.nodes
    if target.id == node.id or (known and workflow.nodes.index(target) > workflow.nodes.index(node)):
        raise param_error(RejectToNodeid=str(wanted))
    return target


def journal_entry(request: Request, kind: str, user: User | None, rows: list[LogRow], oa_time: str) -> dict[str, Any]:
    """One entry of the OA journal, a copy of the state after the change."""
    return {
        "oa_time": oa_time,
        "kind": kind,
        "request_id": str(request.id),
        "workflow_id": request.workflow_id,
        "actor": "" if user is None else user.id,
        "integration": user is not None and user.integration,
        "node": request.node,
        "node_type": request.node_type,
        "log": [row.journal() for row in rows],
        "main": dict(request.main),
        "details": {table: [dict(row) for row in rows] for table, rows in request.details.items()},
    }
