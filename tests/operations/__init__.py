"""What operators get: rules, dashboards, logs, traces."""
