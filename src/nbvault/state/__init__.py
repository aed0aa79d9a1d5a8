"""The state store: an SQL index of sessions, problems and the audit trail, for people and dashboards."""
