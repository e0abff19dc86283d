from ticks.exceptions import Refusal


class EventNotFound(Refusal):
    status = 404
    code = "event_not_found"
    message = "There is no such event."
