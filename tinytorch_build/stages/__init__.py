"""The stages of a module: functions from values to problems, outputs and facts."""
