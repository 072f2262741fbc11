"""Recovery of the database: what is stopped, restored beside, swapped and started again."""
