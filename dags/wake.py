"""Airflow DAGs woken by a watcher: one for each flow in include/flows (`<flow>__wake`)."""

from finbridge.tasks.dag_factory import Kind, dags

for dag in dags(Kind.WAKE):
    globals()[dag.dag_id] = dag
