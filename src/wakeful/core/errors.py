"""The one error type of wakeful and its codes; each face turns a code into its own protocol's answer by one table."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """What went wrong, in words that do not depend on a face."""

    INVALID_NAME = "invalid_name"
    INVALID_SCHEDULE = "invalid_schedule"
    INVALID_JOB = "invalid_job"
    JOB_EXISTS = "job_exists"
    JOB_NOT_FOUND = "job_not_found"
    RUN_NOT_FOUND = "run_not_found"
    STALE_REVISION = "stale_revision"
    STORE_UNAVAILABLE = "store_unavailable"
    STORE_UNUSABLE = "store_unusable"


class WakefulError(Exception):
    """An error for the reader: ``message`` says what was wrong, where, and what would be right."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
