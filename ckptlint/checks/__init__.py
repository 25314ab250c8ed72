"""The vocabulary of rules: functions from a comparison to facts."""
