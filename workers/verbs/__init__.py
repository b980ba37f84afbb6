"""The service's commands, one module each, imported when called."""
