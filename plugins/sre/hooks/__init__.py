"""Hooks for what no provider offers, or offers without our errors."""
