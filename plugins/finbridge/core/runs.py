"""How the hub calls a run of Airflow: a run id alone names one run only within its DAG. Pure."""

from __future__ import annotations

#: Allowed in no DAG id, so the first one ends it; needs no quoting in an address.
_BETWEEN = "~"


def run_identity(dag_id: str, run_id: str) -> str:
    """One text for one run among all DAGs: two of them begin runs of one name in one minute."""
    return f"{dag_id}{_BETWEEN}{run_id}"


def split_identity(identity: str) -> tuple[str, str]:
    """DAG id and run id; of a run that was stored before identities were, no DAG id."""
    dag_id, between, run_id = identity.partition(_BETWEEN)
    return (dag_id, run_id) if between else ("", identity)


def airflow_run_id(identity: str) -> str:
    """The run id as Airflow shows it."""
    return split_identity(identity)[1]
