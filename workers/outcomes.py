"""What waiting for a job ends with."""

from workers.jobs import Job


def code_of(job: Job) -> int:
    """Exit code of this finished job."""
    return 0 if job.exit_code is None else job.exit_code
