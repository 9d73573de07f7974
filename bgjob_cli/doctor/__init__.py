"""The checks of `bgjob doctor`."""
