"""Slack, PagerDuty, Statuspage and Grafana in small: they check a request as the real API does, keep it, and show it."""
