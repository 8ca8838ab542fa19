"""A run of Airflow is named unambiguously among all DAGs, and its own id comes back whole."""

from __future__ import annotations

from finbridge.core.runs import airflow_run_id, run_identity, split_identity
from hypothesis import given
from hypothesis import strategies as st

#: What Airflow allows in a DAG id; a run id may hold anything.
_DAG_IDS = st.text("abzAZ09_.-é数", min_size=1)


@given(_DAG_IDS, st.text(min_size=1), _DAG_IDS, st.text(min_size=1))
def test_two_runs_never_share_a_name(dag_id: str, run_id: str, other_dag: str, other_run: str) -> None:
    identity = run_identity(dag_id, run_id)
    assert split_identity(identity) == (dag_id, run_id)
    assert airflow_run_id(identity) == run_id
    same = (dag_id, run_id) == (other_dag, other_run)
    assert (run_identity(other_dag, other_run) == identity) is same


def test_a_run_stored_before_is_what_it_was() -> None:
    assert split_identity("scheduled__2026-11-22T22:00:00+00:00") == ("", "scheduled__2026-11-22T22:00:00+00:00")
