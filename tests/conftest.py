"""What every test folder shares: the tiny model repository, photographs, files of every kind."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image

# A shared machine may pause at any moment; what an example takes says nothing.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No key, configuration or kept answer of who runs the tests, in this process and those that it starts."""
    for name in [*os.environ]:
        if name.startswith(("FASHIONCROP_", "OPENAI_", "DINOX_")) and name != "FASHIONCROP_CACHE":
            monkeypatch.delenv(name)
    own = tmp_path_factory.mktemp("nobody")
    monkeypatch.setenv("FASHIONCROP_CACHE_DIR", str(own / "answers"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(own / "config"))


@pytest.fixture(scope="session")
def tiny_repository(pytestconfig: pytest.Config) -> Path:
    """A model repository with seeded tiny engines; made once, and again when the exporter has changed."""
    from tiny_models import make_tiny_repository  # noqa: PLC0415 - only tests that need engines need the exporter

    return make_tiny_repository(pytestconfig.cache.mkdir("tiny-repository"))


@pytest.fixture(scope="session")
def photographs() -> dict[str, bytes]:
    """Real photographs out of scikit-image's wheel: encoded files by name."""
    import skimage  # noqa: PLC0415 - reads its whole index

    folder = Path(skimage.__file__).parent / "data"
    names = ("astronaut.png", "camera.png", "coffee.png", "chelsea.png", "rocket.jpg")
    return {Path(name).stem: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="session")
def astronaut(photographs: dict[str, bytes]) -> Image.Image:
    """A person in an orange suit, 512 x 512, RGB."""
    return Image.open(io.BytesIO(photographs["astronaut"])).convert("RGB")


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """An image as a file: `encoded(image, "JPEG", quality=90)`."""

    def encode(image: Image.Image, format_: str, **options: object) -> bytes:
        file = io.BytesIO()
        image.save(file, format_, **options)
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def noise() -> Callable[[int, int], Image.Image]:
    """Seeded noise of a size, for photos where only the size matters."""

    def make(width: int, height: int) -> Image.Image:
        values = np.random.default_rng(width * 100_003 + height).integers(0, 256, (height, width, 3), np.uint8)
        return Image.fromarray(values)

    return make
