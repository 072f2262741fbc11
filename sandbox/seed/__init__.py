"""The history that the platform in small starts with, and what makes it look like a working day."""
