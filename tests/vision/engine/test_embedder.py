"""Pictures to vectors: runtimes agree, spaces are told apart, opening a converted network is light."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from tests.published import require_clip
from vision.engine.backbones import BACKBONES, WeightsError, build_network, get_backbone
from vision.engine.embedder import Embedder, EmbeddingSpace, prepare

SMALL = "faultnet"


def pictures(count=3, size=(150, 100)):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8)) for _ in range(count)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="module")
def embedder(cache):
    return Embedder(SMALL, None, device="cpu", runtime="openvino", cache_dir=cache, random_seed=1)


def test_vectors_have_unit_length(embedder):
    vectors = embedder.embed(pictures(18))
    assert vectors.shape == (18, embedder.space.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert embedder.embed([]).shape == (0, embedder.space.dimension)


def test_a_picture_gets_the_same_vector_alone_and_in_company(embedder):
    images = pictures(4)
    together = embedder.embed(images)
    alone = np.concatenate([embedder.embed([image]) for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert together[0] @ together[1] < 1 - 1e-6


@pytest.mark.parametrize(
    "backbone",
    [SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES if name != SMALL)],
)
def test_openvino_and_torch_agree(backbone, cache):
    if get_backbone(backbone).needs:
        require_clip()
    images = pictures(2)
    ours = Embedder(backbone, None, device="cpu", runtime="openvino", cache_dir=cache, random_seed=1)
    reference = Embedder(backbone, None, device="cpu", runtime="torch", random_seed=1)
    assert (ours.runtime, reference.runtime) == ("openvino", "torch")
    assert ours.space == reference.space
    cosine = (ours.embed(images) * reference.embed(images)).sum(axis=1)
    assert cosine.min() >= 0.9999


def test_mode_of_the_picture_does_not_matter(embedder):
    grey = pictures(1)[0].convert("L")
    vectors = embedder.embed([grey, grey.convert("RGB"), grey.convert("RGBA")])
    np.testing.assert_allclose(vectors[1:], vectors[:1].repeat(2, 0), atol=1e-5)


def test_threads_share_one_embedder(embedder):
    images = pictures(4)
    expected = embedder.embed(images)
    results = [None] * 4

    def work(number):
        results[number] = embedder.embed(images)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_allclose(result, expected, atol=1e-6)


def test_a_weight_file_makes_its_own_space(tmp_path, embedder, cache):
    import torch

    path = tmp_path / "faultnet.pth"
    torch.save(build_network(get_backbone(SMALL), random_seed=1).state_dict(), path)
    loaded = Embedder(SMALL, path, device="cpu", cache_dir=cache)
    assert len(loaded.space.weights_sha256) == 64
    assert loaded.space.slug != embedder.space.slug
    images = pictures(2)
    np.testing.assert_allclose(loaded.embed(images), embedder.embed(images), atol=1e-5)
    other = Embedder(SMALL, None, device="cpu", cache_dir=cache, random_seed=2)
    assert (other.embed(images) * loaded.embed(images)).sum(axis=1).max() < 0.9999


def test_spaces_differ_in_every_part_and_slugs_are_stable():
    space = EmbeddingSpace("vgg16", "ab" * 32, "v1-rgb-224-resize", 512)
    assert space.slug == EmbeddingSpace("vgg16", "ab" * 32, "v1-rgb-224-resize", 512).slug
    assert space.slug == "vgg16-534c6fc008da"
    others = [
        EmbeddingSpace("vgg19", "ab" * 32, "v1-rgb-224-resize", 512),
        EmbeddingSpace("vgg16", "ac" * 32, "v1-rgb-224-resize", 512),
        EmbeddingSpace("vgg16", "ab" * 32, "v2-rgb-224-resize", 512),
        EmbeddingSpace("vgg16", "ab" * 32, "v1-rgb-224-resize", 4096),
    ]
    assert len({other.slug for other in others} | {space.slug}) == 5
    for spec in BACKBONES.values():
        longest = EmbeddingSpace(spec.name, "ab" * 32, spec.preprocessing, spec.dimension)
        assert len(longest.slug) <= 80
        assert len(spec.preprocessing) <= 40


def test_opening_a_converted_network_imports_no_torch(embedder, cache):
    code = (
        "import sys, pathlib\n"
        "from PIL import Image\n"
        "from vision.engine.embedder import Embedder\n"
        "assert not {'torch', 'openvino'} & sys.modules.keys()\n"
        f"cache = pathlib.Path({str(cache)!r})\n"
        f"e = Embedder({SMALL!r}, None, device='cpu', cache_dir=cache, random_seed=1)\n"
        "assert e.embed([Image.new('RGB', (40, 40))]).shape[0] == 1\n"
        "assert 'torch' not in sys.modules and e.runtime == 'openvino'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_damaged_cache_is_converted_again(tmp_path):
    options = {"device": "cpu", "runtime": "openvino", "cache_dir": tmp_path, "random_seed": 1}
    before = Embedder(SMALL, None, **options).embed(pictures(1))
    (network,) = tmp_path.glob("*/network.xml")
    network.write_text(network.read_text()[:500])
    np.testing.assert_allclose(Embedder(SMALL, None, **options).embed(pictures(1)), before, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == [network.parent.name]


def test_wrong_requests_are_refused_with_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="no backbone 'vgg99'"):
        Embedder("vgg99", None, random_seed=0)
    with pytest.raises(WeightsError, match="fetch_weights vgg16"):
        Embedder("vgg16", tmp_path / "absent.pth")
    with pytest.raises(WeightsError, match="either"):
        Embedder("vgg16", None)


def test_prepare_shapes_values_and_proportions():
    from dataclasses import replace

    spec = get_backbone("vgg16")
    white = Image.new("RGB", (300, 100), "white")
    pixels = prepare(white, spec)
    assert (pixels.shape, pixels.dtype) == ((3, 224, 224), np.float32)
    expected = (1 - np.float32(spec.mean)) / np.float32(spec.std)
    np.testing.assert_allclose(pixels[:, 0, 0], expected, atol=1e-6)
    boxed = prepare(white, replace(spec, resize="letterbox"))
    assert (boxed[:, 0, :] == 0).all()
    np.testing.assert_allclose(boxed[:, 112, 112], expected, atol=1e-6)
    filled = np.flatnonzero(boxed[0, :, 112])
    assert len(filled) == pytest.approx(75, abs=1)


def test_prepare_agrees_with_torchvision():
    from torchvision.transforms import v2

    spec = get_backbone("resnet50")
    image = pictures(1, (300, 260))[0]
    theirs = v2.Compose(
        [
            v2.Resize((224, 224), antialias=True),
            v2.PILToTensor(),
            v2.ConvertImageDtype(),
            v2.Normalize(spec.mean, spec.std),
        ]
    )(image)
    np.testing.assert_allclose(prepare(image, spec), theirs.numpy(), atol=1e-5)
