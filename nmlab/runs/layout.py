"""What lies in a run's folder."""

LOCK = "alive.lock"
"""The lock file of a run's folder."""

LABEL = "label.json"
"""The file with the user's name, note and guess."""

FIGURES = "figures"
"""The folder of a run's pictures."""

PROFILE_DETAILS, PROFILE_REPORT = "profile.json", "report.txt"
"""The files of a run's profile, in addition to those that the profiler itself writes."""

RECORD_FILES = ("settings.json", "status.json", "metrics.csv", LABEL)
"""The files that hold everything about a run except its weights."""

LAYOUT = 1
"""Version of the folder's layout; a folder with a newer one is listed but not read."""

STATES = ("running", "finished", "stopped", "failed", "interrupted")
