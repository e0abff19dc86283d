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
        # A message may be lazy, and `str()` translates it. Each booking begins with a `Busy` as its result, and to
        # translate a sentence that nobody reads took a fortieth of a booking's time.
        if message:
            self.message = message
        if field:
            self.field = field
        super().__init__(self.message)
