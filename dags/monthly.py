"""Airflow DAGs of a month: one for each flow in include/flows that says how a month is closed (`<flow>__monthly`)."""

from finbridge.tasks.monthly_dag import monthly_dags

for dag in monthly_dags():
    globals()[dag.dag_id] = dag
