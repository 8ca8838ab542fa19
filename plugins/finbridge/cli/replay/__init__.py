"""`finbridge replay`: a real log through OA, mapping, Great Expectations, delivery and finance, without Airflow."""
