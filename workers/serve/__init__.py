"""The whole service on one machine: the embedded server, the worker and the scheduler, supervised."""
