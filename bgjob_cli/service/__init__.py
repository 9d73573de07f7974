"""Running the daemon under the service manager of the system: systemd for a user, or launchd."""
