"""The gateway against its own OpenAPI document, by schemathesis: every operation, every check.

`python tests/gateway_conformance.py --max-examples 200` asks thousands of times; the arguments are schemathesis' own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from asked_dinox import one as found
from asked_dinox import settings as dinox_settings
from fashioncrop.analyzing.opening import Parts
from fashioncrop.describing import Describer, DescriberSettings
from fashioncrop.dinox import DinoX
from gateway_world import MODEL, FakeClient, Gateway, eventually, fill
from planted import at_angle, entry, planted, reachable_folder
from scripted_dinox import ScriptedDinoX, scripted_dinox
from scripted_openai import ScriptedOpenAI

# What the document cannot say is told with these: a text that is no photo (422), a model that there is not (404), a
# form of an answer that there is not (406), a name that stands for another request (409).
_CONFIGURATION = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "404", "406", "409", "422"]
negative_data_rejection.expected-statuses = ["400", "401", "404", "405", "406", "413", "415", "422"]

# In a form everything is text: a number in place of a prompt is a prompt.
[[operations]]
include-path = "/api/v1/describe"
checks.negative_data_rejection.expected-statuses = ["200", "400", "401", "404", "405", "406", "413", "415", "422"]
"""
_PROGRAM = "from schemathesis.cli import schemathesis; schemathesis()"


def conform(folder: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], Sequence[str]]:
    """Run schemathesis against a gateway with everything; what it said, and what the gateway's server was asked."""
    configuration = folder / "schemathesis.toml"
    configuration.write_text(_CONFIGURATION)
    cloud = ScriptedDinoX(find=lambda _phrases, _size: [found("shirt")])
    with ScriptedOpenAI() as words, scripted_dinox(cloud), reachable_folder() as place:
        client = FakeClient()
        describer = Describer(DescriberSettings(base_url=words.url))
        parts = Parts(client, describer, DinoX(dinox_settings(cloud)), None, None)
        fill(place, [entry("/photos/shirt.jpg", planted(0, at_angle(10, 512)), model=MODEL)])
        options: dict[str, Any] = {"base_url": words.url, "jobs": True, "catalogue": SecretStr(str(place))}
        with Gateway(folder, parts=parts, rate_limit="900000000/minute", **options) as gateway:
            eventually(lambda: gateway.workshop.book is not None)
            command = [sys.executable, "-c", _PROGRAM, "--config-file", str(configuration), "run"]
            command += [f"{gateway.url}/openapi.json", "--checks", "all", "--continue-on-failure"]
            # Both of the ways to send a key, or schemathesis would fill the other with something of its own.
            command += ["--header", f"Authorization: Bearer {gateway.key}", "--header", f"X-API-Key: {gateway.key}"]
            done = subprocess.run(
                [*command, *arguments],
                cwd=folder,
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
                capture_output=True,
                text=True,
                check=False,
            )
    return done, [what for what, _ in client.asked]


def main() -> int:
    """Ask as often as the command line says."""
    with tempfile.TemporaryDirectory() as folder:
        done, asked = conform(Path(folder), *sys.argv[1:])
    sys.stdout.write(done.stdout + done.stderr)
    sys.stdout.write(f"\nThe server was asked {len(asked)} times: {', '.join(sorted(set(asked)))}\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
