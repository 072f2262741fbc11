"""Judging: observations and limits in, findings out. Nothing is asked here, not even the clock."""
