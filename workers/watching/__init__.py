"""What an operator's instruments read: metrics, liveness, readiness."""
