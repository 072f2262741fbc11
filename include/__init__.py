"""The logic of the runbooks: everything that does not know Airflow."""
