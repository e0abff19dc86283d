class Refusal(Exception):
    """The request is not carried out: the base of every error that services raise.

    A subclass names the fact and sets how the API reports it: `status` (HTTP), `code` (stable, snake_case) and
    `message` (one sentence for a person; pages for holders translate it). `field` names the request's field at fault,
    in the API's spelling, where there is one; `retry_after` is in seconds, if sending the same request again may work.
    """

    status = 409
    code = "refused"
    message = "The request cannot be carried out."
    field: str | None = None
    retry_after: int | None = None

    def __init__(self, message: str | None = None, *, field: str | None = None):
        # A lazy message is translated only when it is read: each booking begins as a refusal (`Job.result`), and a
        # sentence that nobody reads must not take a fortieth of its time.
        if message:
            self.message = message
        if field:
            self.field = field
        super().__init__(self.message)
