"""Deciding: observations, clocks and limits in, ordered steps with their reasons out. Nothing is asked or changed here."""
