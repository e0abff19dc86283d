from concurrent.futures import Future

import pytest
from django.test import RequestFactory

from ticks.server import stopping
from ticks.server.stopping import CLIENT_LEFT, GivenUp, check_wanted

pytestmark = pytest.mark.embedded


def test_request_is_given_up_once_its_client_has_left():
    left = Future()
    request = RequestFactory().get("/", **{CLIENT_LEFT: left})
    check_wanted(request)

    left.set_result(None)

    with pytest.raises(GivenUp):
        check_wanted(request)


@pytest.mark.parametrize("stage", [stopping.DRAINING, stopping.ENDING])
def test_request_is_given_up_when_the_server_begins_to_stop(monkeypatch, stage):
    memory = bytearray(1)
    monkeypatch.setattr(stopping, "stage", memory)
    request = RequestFactory().get("/")
    check_wanted(request)

    memory[0] = stage

    with pytest.raises(GivenUp):
        check_wanted(request)
