"""The parent process of one job. Standard library only, single threaded, nothing from the rest of bgjobd."""
