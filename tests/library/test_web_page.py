"""Pages that draw: what they show equals what PyTorch computes, for strokes in headless Chromium."""
import base64
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from browser import Browser, find_browser
from compression import (
    build_generator,
    encode_labels,
    initialize,
    to_image,
    to_tensor,
    translate,
)
from compression.deploy import web_runtime
from compression.deploy.web import (
    PAGE_FILES,
    Sample,
    describe_input,
    page_network,
    require_page_or_nothing,
    write_page,
)
from compression.runtime.encoding import LabelEncoding
from compression.runtime.lab import colorize, split_lab
from paths import ROOT

SIZE = 32
READY = "document.body?.dataset.state === 'ready'"


def network(**settings):
    """A small generator with weights far from those of a constant picture."""
    torch.manual_seed(0)
    net = build_generator("resnet_6blocks", ngf=4, norm="instance", **settings)
    initialize(net, "normal", 0.3)
    return net.eval()


def drawing(size=SIZE):
    image = np.full((size, size, 3), 255, dtype=np.uint8)
    image[8:20, 10] = image[8, 10:24] = 0
    return image


def label_map():
    """Two classes; the second in two objects."""
    ids = np.zeros((SIZE, SIZE, 2), dtype=np.int64)
    ids[10:26, 4:28] = 2, 5000
    ids[10:26, 16:28, 1] = 5001
    return ids


@pytest.fixture(scope="module")
def runtime():
    """The files of the runtime, from the cache or the npm registry."""
    if not find_browser():
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    try:
        return web_runtime.fetch_runtime()
    except ValueError as error:
        pytest.skip(f"the runtime of pages cannot be fetched: {error}")


@pytest.fixture(scope="module")
def browser(runtime):
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def draw_page(browser, runtime, tmp_path_factory):
    """The networks of a page of drawings, which is open."""
    folder = tmp_path_factory.mktemp("draw") / "page"
    nets = {"student": network(input_nc=3), "original": network(input_nc=3, dropout=False)}
    initialize(nets["original"], "normal", 0.2)
    samples = [Sample("a </script> box", drawing()), Sample("empty", np.full((SIZE, SIZE, 3), 255, np.uint8))]
    page_input = describe_input(samples)
    assert page_input.kind == "draw"
    write_page(folder, "Small <b>page</b>", (SIZE, SIZE), page_input, samples,
               page_network(nets["student"], (SIZE, SIZE), half=True, macs=10 ** 8),
               page_network(nets["original"], (SIZE, SIZE)), runtime)
    browser.open(folder.joinpath("index.html").as_uri())
    browser.wait(READY)
    return nets


def pixels(browser, canvas):
    """Read a canvas, (H, W, 3) uint8."""
    script = f"""(() => {{
        const canvas = document.getElementById("{canvas}");
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return [canvas.height, canvas.width, btoa(String.fromCharCode(...data))];
    }})()"""
    height, width, text = browser.evaluate(script)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[..., :3]


def do(browser, action):
    """Do something and wait until the picture follows it."""
    before = browser.evaluate("document.body.dataset.pictures")
    action()
    browser.wait(f"{READY} && document.body.dataset.pictures !== '{before}'")


def assert_close(picture, net, x):
    expected = np.asarray(to_image(translate(net, x))).astype(int)
    assert expected.std() > 3, "the picture is constant"
    assert np.abs(picture.astype(int) - expected).max() <= 2


def test_a_stroke_changes_the_picture_as_in_pytorch(browser, draw_page):
    first = pixels(browser, "picture")
    assert_close(first, draw_page["student"], to_tensor(drawing()))
    do(browser, lambda: browser.stroke("#paper", [(0.1, 0.9), (0.5, 0.6), (0.9, 0.9)]))
    paper = pixels(browser, "paper")
    assert (paper != drawing()).any(2).sum() > 20
    second = pixels(browser, "picture")
    assert np.abs(second.astype(int) - first).max() > 5
    assert_close(second, draw_page["student"], to_tensor(paper.copy()))
    do(browser, lambda: browser.click("#tools button:nth-of-type(3)"))  # Undo
    assert np.array_equal(pixels(browser, "paper"), drawing())
    assert np.array_equal(pixels(browser, "picture"), first)


def test_a_finger_draws_on_a_phone_without_scrolling(browser, draw_page):
    browser.resize(390, 844, mobile=True)
    try:
        assert browser.evaluate("document.documentElement.scrollWidth") == 390
        before = pixels(browser, "paper")
        do(browser, lambda: browser.stroke("#paper", [(0.2, 0.2), (0.2, 0.8)], touch=True))
        assert (pixels(browser, "paper")[8:24, 6] == 0).all()
        assert browser.evaluate("scrollY") == 0
        do(browser, lambda: browser.click("#samples button:nth-of-type(2)"))
        assert (pixels(browser, "paper") == 255).all()
        do(browser, lambda: browser.evaluate("paper.undo()"))
        do(browser, lambda: browser.evaluate("paper.undo()"))
        assert np.array_equal(pixels(browser, "paper"), before)
    finally:
        browser.resize(1280, 900)


def test_the_original_is_shown_on_request(browser, draw_page):
    assert browser.evaluate("document.getElementById('original').hidden")
    browser.click("#show-original")
    browser.wait("document.querySelector('#original-facts dd') !== null")
    browser.wait(READY)
    paper = pixels(browser, "paper")
    assert_close(pixels(browser, "original-picture"), draw_page["original"], to_tensor(paper.copy()))
    assert " ms" in browser.evaluate("document.getElementById('original-facts').innerText")
    browser.click("#show-original")
    assert browser.evaluate("document.getElementById('original').hidden")


def test_names_are_shown_as_text(browser, draw_page):
    assert browser.evaluate("document.getElementById('title').textContent") == "Small <b>page</b>"
    assert browser.evaluate("document.querySelector('#samples button').title") == "a </script> box"


def test_inputs_are_encoded_as_in_pytorch(browser, draw_page):
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    rgba = np.concatenate([image, np.full((4, 6, 1), 255, np.uint8)], 2).ravel().tolist()
    colors = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 4, 6)).astype(np.float32)
    gray, lightness, decoded = (np.array(values) for values in browser.evaluate(f"""(() => {{
        const pixels = Uint8ClampedArray.from({rgba});
        const lightness = encodeLightness(pixels);
        return [encodeImage(pixels, 1), lightness, decodeLab(lightness, {colors.ravel().tolist()})].map(
            (array) => Array.from(array));
    }})()"""))
    assert np.allclose(gray, to_tensor(Image.fromarray(image), 1).numpy().ravel(), atol=1e-6)
    expected, _ = split_lab(to_tensor(image))
    assert np.allclose(lightness, expected.numpy().ravel(), atol=1e-5)
    rgb = np.asarray(to_image(colorize(expected, torch.from_numpy(colors)[None]))).astype(int)
    assert np.abs(decoded.reshape(4, 6, 4)[..., :3] - rgb).max() <= 1


def test_label_maps_with_instances_are_painted(browser, runtime, tmp_path):
    encoding = LabelEncoding(3, instance=True)
    net = network(input_nc=encoding.channels)
    sample = Sample("label map", label_map())
    page_input = describe_input([sample], encoding, names=("sky", "road"))
    assert page_input.names == ("sky", "road", "class 2")
    write_page(tmp_path / "page", "Labels", (SIZE, SIZE), page_input, [sample],
               page_network(net, (SIZE, SIZE)), runtime=runtime)
    browser.open((tmp_path / "page" / "index.html").as_uri())
    browser.wait(READY)

    def state():
        labels, instances = browser.evaluate("[Array.from(paper.labels), Array.from(paper.instances)]")
        return np.array(labels).reshape(SIZE, SIZE), np.array(instances).reshape(SIZE, SIZE)

    labels, _ = state()
    assert np.array_equal(labels, label_map()[..., 0])
    assert_close(pixels(browser, "picture"), net, encode_labels(*np.moveaxis(label_map(), 2, 0)[:1], 3,
                                                               label_map()[..., 1]))
    browser.click(".check input")  # each stroke is an object
    browser.click("#palette button:nth-of-type(3)")
    do(browser, lambda: browser.stroke("#paper", [(0.1, 0.5), (0.9, 0.5)]))
    labels, instances = state()
    assert labels[16, 1:30].tolist().count(2) >= 26
    assert len(np.unique(instances)) == 4
    assert_close(pixels(browser, "picture"), net, encode_labels(labels, 3, instances))
    browser.click("#tools button:nth-of-type(3)")  # Fill
    browser.click("#palette button:nth-of-type(2)")
    do(browser, lambda: browser.stroke("#paper", [(0.5, 0.05)]))
    labels, instances = state()
    assert (labels[0] == 1).all()
    assert_close(pixels(browser, "picture"), net, encode_labels(labels, 3, instances))


def test_a_page_without_the_runtime_says_what_to_do(browser, tmp_path):
    write_page(tmp_path / "page", "Page", (SIZE, SIZE), describe_input([]), [],
               page_network(network(input_nc=1), (SIZE, SIZE)))
    browser.open((tmp_path / "page" / "index.html").as_uri())
    browser.wait("document.body?.dataset.state === 'failed'")
    assert "scripts/fetch_runtime.py" in browser.evaluate("document.getElementById('message').textContent")


def test_the_ready_page_draws(browser, runtime, tmp_path):
    ready = ROOT / "examples" / "draw"
    files = [path for path in ready.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    for name in PAGE_FILES:
        page_file = ROOT / "compression" / "deploy" / "page" / name
        assert (ready / name).read_bytes() == page_file.read_bytes(), f"copy {name} into examples/draw"
    for path in files:
        shutil.copy(path, tmp_path)
    web_runtime.copy_runtime(tmp_path, runtime)
    browser.open((tmp_path / "index.html").as_uri())
    browser.wait(READY)
    first = pixels(browser, "picture")
    assert first.std() > 20
    do(browser, lambda: browser.stroke("#paper", [(0.3, 0.3), (0.7, 0.7)]))
    assert np.abs(pixels(browser, "picture").astype(int) - first).max() > 20


def test_the_kind_of_page_is_found_from_the_samples():
    areas = np.zeros((SIZE, SIZE, 3), np.uint8)
    areas[:16] = 70, 130, 180
    areas[15:] = 0, 60, 190
    found = describe_input([Sample("areas", areas)], known={(70, 130, 180): "sky"})
    assert (found.kind, found.names) == ("colors", ("#003cbe", "sky"))
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    assert describe_input([Sample("photo", noise)]).kind == "photo"
    assert describe_input([]).kind == "photo"
    assert describe_input([Sample("areas", areas)], kind="photo").kind == "photo"
    with pytest.raises(ValueError, match="--page paint: the generator takes images"):
        describe_input([], kind="paint")
    with pytest.raises(ValueError, match="--page draw: the generator takes label maps"):
        describe_input([], LabelEncoding(3), kind="draw")
    with pytest.raises(ValueError, match="--page colors needs samples"):
        describe_input([], kind="colors")


def test_weights_in_half_precision_halve_the_file_and_keep_the_picture():
    runtime = pytest.importorskip("onnxruntime")
    net = build_generator("unet_128", ngf=4, norm="batch").eval()
    x = to_tensor(drawing(128))
    full, half = (page_network(net, (128, 128), half).onnx for half in (False, True))
    assert len(half) < 0.55 * len(full)
    for content in (full, half):
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
        picture = session.run(None, {"input": x.numpy()})[0]
        assert np.abs(picture - translate(net, x).numpy()).max() < 2 / 127.5


def test_a_page_replaces_only_a_page(tmp_path):
    folder = tmp_path / "page"
    student, other = (page_network(network(input_nc=channels), (SIZE, SIZE)) for channels in (3, 1))
    page = ["Page", (SIZE, SIZE), describe_input([]), [], student]
    write_page(folder, *page)
    (folder / "runtime").mkdir()
    write_page(folder, *page)
    assert not (folder / "runtime").exists()
    with pytest.raises(ValueError, match="--original: it has other input"):
        write_page(folder, *page, other)
    with pytest.raises(FileNotFoundError, match="missing"):
        write_page(folder, *page, runtime={"cpu.js": tmp_path / "missing"})
    assert (folder / "model.js").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo.png").touch()
    with pytest.raises(ValueError, match="holds other files than a page"):
        write_page(tmp_path / "other", *page)
    require_page_or_nothing(tmp_path / "new")
    with pytest.raises(ValueError, match="multiples of 4"):
        page_network(network(input_nc=3), (30, 30))


def test_a_package_with_another_checksum_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "package.tgz").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="its SHA-512 is .* fetch it again"):
        web_runtime.fetch_runtime(tmp_path / "package.tgz")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("has_npm", [True, False])
def test_without_a_network_the_message_says_what_to_do(has_npm, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error network ENOTFOUND' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr(web_runtime.shutil, "which", lambda name: str(npm) if has_npm else None)
    monkeypatch.setattr(web_runtime, "_URL", "http://127.0.0.1:9/package.tgz")
    with pytest.raises(ValueError, match="fetch_runtime.py --file onnxruntime-web") as error:
        web_runtime.fetch_runtime()
    assert ("ENOTFOUND" in str(error.value)) == has_npm
