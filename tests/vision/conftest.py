"""Other backbones than the one that ships, with weight files of random numbers."""

import tempfile
from pathlib import Path

import pytest

from tests.published import require_clip


@pytest.fixture
def use_backbone(settings):
    """Have this process see with another backbone, whose weights lie in a data folder of its own."""
    # Models can be imported only now that Django is set up.
    from vision.services import embedding, text_search

    def forget():
        embedding._embedders.clear()
        text_search._build_text_encoder.cache_clear()

    def use(name: str, data: Path) -> None:
        settings.BACKBONE, settings.FAULTDIAG_DATA = name, data
        forget()

    yield use
    forget()


@pytest.fixture(scope="session")
def clip_data():
    """A data folder with a CLIP of random weights, as open_clip publishes them."""
    require_clip()
    from safetensors.torch import save_file

    from vision.engine.backbones import build_network, get_backbone

    with tempfile.TemporaryDirectory(prefix="faultdiag-clip-") as folder:
        weights = Path(folder) / "weights"
        weights.mkdir()
        state = build_network(get_backbone("clip_vit_b_32"), random_seed=4).state_dict()
        save_file(
            {name: value.half() for name, value in state.items()}, weights / "clip_vit_b_32.safetensors"
        )
        yield Path(folder)


@pytest.fixture(scope="session")
def trained(django_db_setup, django_db_blocker, tmp_path_factory):
    """A training that tests share, as it takes seconds; `restore` brings its inspector back."""
    from tests.vision.inspected import trained_once

    with django_db_blocker.unblock():
        return trained_once(tmp_path_factory.mktemp("trained") / "version")


@pytest.fixture
def inspector(trained, db):
    """An inspector of plates whose first version serves."""
    return trained.restore()
