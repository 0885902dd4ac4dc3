"""Why believe it: the levels of verification, identities, false alarms, and mistakes made on purpose."""
