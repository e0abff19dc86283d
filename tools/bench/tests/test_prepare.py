"""Accounts and tokens that were made in bulk must be as good as those that were registered and logged in."""

import pytest
from rest_framework.test import APIClient

from tools.bench.prepare import prepare
from tools.bench.tokens import Mint

pytestmark = pytest.mark.django_db


def whoever_has(token: str):
    return APIClient().get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})


def test_prepared_accounts_are_logged_in_and_can_log_in_again():
    made = prepare(3, password="photograph 51")

    assert made["names"] == ["buyer0", "buyer1", "buyer2"]
    assert [whoever_has(token).json()["data"]["username"] for token in made["tokens"]] == made["names"]
    assert whoever_has(made["admin"]).json()["data"]["isAdmin"] is True
    login = APIClient().post("/api/v1/auth/login", {"username": "buyer2", "password": "photograph 51"}, format="json")
    assert login.status_code == 200


def test_minted_token_is_another_one_of_the_same_login(settings):
    [token] = prepare(1, password="photograph 51")["tokens"]
    mint = Mint(settings.SIMPLE_JWT["SIGNING_KEY"])

    minted = [mint.another(token), mint.another(token)]

    assert len({token, *minted}) == 3
    assert [whoever_has(each).json()["data"]["username"] for each in minted] == ["buyer0", "buyer0"]
    assert whoever_has(Mint("x" * 64).another(token)).status_code == 401
