"""Who hears of it when a task fails."""
