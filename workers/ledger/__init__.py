"""The ledger: the truth about every job, in Redis beside the queue."""
