"""What did not run, and nobody noticed: an exporter outside Airflow that needs nothing of it to be alive."""
