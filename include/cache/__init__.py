"""The application's cache: what its keys are, and the removal of those that nobody needs, with a way back."""
