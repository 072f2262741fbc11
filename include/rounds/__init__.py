"""The rounds of the morning: all questions to one source, its probes side by side, in one report. Nothing here knows Airflow."""
