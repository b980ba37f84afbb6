"""Queue, schedules and the command line that mounts the library's."""
