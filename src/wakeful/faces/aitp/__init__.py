"""The face for agents and their clients: schedules, tasks, claims (AITP), and who they are (AINS)."""
