"""Airflow DAGs with a form, for single documents by hand: one for each flow in include/flows (`<flow>__manual`)."""

from finbridge.tasks.manual_dag import manual_dags

for dag in manual_dags():
    globals()[dag.dag_id] = dag
