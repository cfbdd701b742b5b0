import contextvars

import pytest

from services.chassis import identity
from services.chassis.identity import Identity, Kind

ADMIN = Identity(kind=Kind.ADMIN)


@pytest.mark.parametrize(
    ("caller", "name"),
    [
        (ADMIN, "admin"),
        (Identity(kind=Kind.ANONYMOUS), "anonymous"),
        (Identity(kind=Kind.ORG, name="t1", org_id="o"), "org-token:t1"),
        (Identity(kind=Kind.WORKSPACE, name="w1"), "workspace:w1"),
        (Identity(kind=Kind.SERVICE, name="registry"), "service:registry"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_identity_has_an_actor(caller, name):
    assert caller.actor == name


def test_a_feed_may_be_closed_in_another_context():
    def feed():
        with identity.act_as(ADMIN):
            yield identity.current()

    running = feed()
    assert contextvars.copy_context().run(next, running) is ADMIN
    running.close()
