"""Airflow DAG that looks at every connection: `finbridge__check_connections`."""

from finbridge.tasks.checking_dag import check_connections_dag

dag = check_connections_dag()
