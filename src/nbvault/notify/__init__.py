"""Telling people: e-mail, Slack, Microsoft Teams. Delivery only; who is told what, and when, is decided elsewhere."""
