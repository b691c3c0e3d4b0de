"""Writing resolutions: nobody's text is erased unseen."""

import pytest

from cases.services.resolutions import ResolutionChanged, resolution_update
from tests import factories

pytestmark = pytest.mark.django_db


def test_a_change_to_what_was_not_read_is_refused():
    resolution = factories.resolution(factories.case())
    seen = resolution.updated_at
    resolution_update(resolution, seen=seen, why_steps=[{"answer": "First"}])
    with pytest.raises(ResolutionChanged):
        resolution_update(resolution, seen=seen, root_cause="Second")
    resolution.refresh_from_db()
    assert resolution.root_cause != "Second"
