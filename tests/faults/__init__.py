"""Faults on purpose: a proxy that breaks TCP, and the matrix of what is broken when."""

# Tells a gateway of the matrix where its spool asks, and which place it has: "folder:place".
WATCH_VARIABLE = "FAULTS_WATCH"
