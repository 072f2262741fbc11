"""The speed claims: each a script that prints ratios measured in one run."""
