"""A NUL character, which no column of PostgreSQL takes, is bad input and no fault of ours."""

import pytest

from tests import factories

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "address",
    [
        "/cases/%00", "/cases/%00/triage", "/categories/%00", "/actions/%00", "/actions?q=%00",
        "/options/part?part=%00", "/options/part?%00=a", "/?q=a&q=%00", "/admin/cases/case/?q=%00",
    ],
)  # fmt: skip
def test_in_an_address(client, address):
    client.force_login(factories.user("Engineer", is_staff=True))
    assert client.get(address).status_code == 400


def test_in_a_field_that_names_a_row(client):
    case = factories.case()
    client.force_login(factories.user("Engineer"))
    decision = {"verdict": "fault", "category": "SCR\x00"}
    answer = client.post(f"/cases/{case.number}/triage/decision", decision, follow=True)
    assert "Null characters are not allowed" in answer.content.decode()
