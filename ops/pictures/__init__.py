"""Pictures for the pages of this project, drawn from a fleet that runs."""
