"""The only place that touches the disk for the daemon."""
