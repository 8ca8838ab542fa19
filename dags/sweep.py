"""Airflow DAGs on a timetable, the safety net: one for each flow in include/flows (`<flow>__sweep`)."""

from finbridge.tasks.dag_factory import Kind, dags

for dag in dags(Kind.SWEEP):
    globals()[dag.dag_id] = dag
