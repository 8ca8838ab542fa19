"""Airflow's side of the suite: DAG factory, watcher, settings. At the top of the house, beside the command line."""
