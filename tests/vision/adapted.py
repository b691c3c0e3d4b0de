"""A library that an adaptation has something to learn from, and a space of one, without the gate."""

import hashlib

from safetensors.torch import save_file

from tests import factories
from vision.engine.adaptation import Adaptation as Projection
from vision.engine.arrays import arrays_pack
from vision.engine.backbones import build_network, get_backbone
from vision.models import Adaptation, EmbeddingSpace
from vision.services.adaptation import _space_of, labelled_vectors
from vision.services.embedding import images_embed


def library_of_cases(categories: int = 2, cases: int = 10) -> list:
    """Cases with one picture of noise each, labelled and embedded."""
    made = []
    for _ in range(categories):
        category = factories.category()
        made += [factories.case(labelled=category) for _ in range(cases)]
    images_embed(case.images.get().pk for case in made)
    return made


def adapted_space(active: EmbeddingSpace) -> EmbeddingSpace:
    """A space in the state building that projects the vectors of `active`."""
    data = labelled_vectors(active.network)
    fitted = Projection().fit(data.vectors, data.labels, groups=data.groups)
    parameters, arrays = fitted.learned()
    stored = arrays_pack(arrays)
    made = Adaptation.objects.create(
        method="projection",
        compared_with=active,
        parameters=parameters,
        arrays=stored,
        sha256=hashlib.sha256(stored).hexdigest(),
        data_sha256=data.sha256(),
        passed=True,
        reason="Made for a test.",
    )
    return _space_of(made, active, fitted.dimension)


def random_weights(path, seed: int = 1):
    """A weight file of faultnet that is in order and knows nothing."""
    save_file(build_network(get_backbone("faultnet"), random_seed=seed).state_dict(), path)
    return path
