"""Alerts: rules, their conditions, and the channels that alerts are sent through."""
