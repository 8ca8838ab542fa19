"""The demo: a Chinese company's claims played through OA, Airflow and ledger (`python -m tools.demo`)."""
