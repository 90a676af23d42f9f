"""The cron daemon: jobs from a config file that is watched, switches for them, and what can be asked of it."""
