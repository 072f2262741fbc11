"""Everything of the runbooks that knows Airflow."""
