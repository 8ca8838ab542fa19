"""Pages in the Airflow UI: one guarded FastAPI application, a module a page, texts from catalogues only."""
