"""Airflow DAG that takes away what is old: `finbridge__housekeeping`."""

from finbridge.tasks.housekeeping_dag import housekeeping_dag

dag = housekeeping_dag()
