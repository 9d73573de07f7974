"""The `bgjob` command line."""
