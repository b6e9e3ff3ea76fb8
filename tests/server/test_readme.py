"""The README's calls work as printed."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from fashioncrop._embedded.server import EmbeddedServer

pytestmark = [pytest.mark.server, pytest.mark.export]

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"<!-- runs as printed: (python|bash) -->\n```\w+\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_readme_has_the_calls() -> None:
    text = "".join(code for _, code in BLOCKS)
    for call in ("from fashioncrop import Client", "tritonclient.grpc", "tritonclient.http", "curl"):
        assert call in text


@pytest.mark.parametrize(("language", "code"), BLOCKS, ids=[code.strip().splitlines()[0][:30] for _, code in BLOCKS])
def test_a_call_works_as_printed(
    server: EmbeddedServer, photographs: dict[str, bytes], tmp_path: Path, language: str, code: str
) -> None:
    Image.open(io.BytesIO(photographs["astronaut"])).save(tmp_path / "photo.jpg")
    # 8000 and 8001 may belong to somebody else's server while this test runs.
    code = code.replace("localhost:8000", server.http_url.removeprefix("http://"))
    code = code.replace("localhost:8001", server.grpc_url)
    command = [sys.executable, "-c", code] if language == "python" else ["bash", "-euo", "pipefail", "-c", code]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "FASHIONCROP_STATE": str(server.state_folder.folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    if language == "bash":
        analysis = json.loads(json.loads(done.stdout)["outputs"][0]["data"][0])
        assert analysis["photo"] == {"width": 512, "height": 512, "format": "JPEG"}
