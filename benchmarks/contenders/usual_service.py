"""The service that people write first: transformers' models behind FastAPI and uvicorn, in a process of its own.

    python -m contenders.usual_service --detector DIR --embedder DIR --depth DIR [--compile]

Takes a free port on 127.0.0.1, writes `READY PORT` to stdout once it listens, and ends when its stdin does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from contenders.usual_models import Checkpoints, UsualModels
from problems import ProblemError

HOST = "127.0.0.1"


def make_app(models: UsualModels) -> FastAPI:
    """`POST /analyze` with the photo's file as the body; one photo at a time."""
    app = FastAPI()
    turn = asyncio.Lock()

    @app.post("/analyze")
    async def analyze(request: Request, score_threshold: float, max_garments: int) -> dict[str, Any]:
        data = await request.body()
        async with turn:
            try:
                return await run_in_threadpool(
                    models.answer, data, score_threshold=score_threshold, max_garments=max_garments
                )
            except ProblemError as problem:
                raise HTTPException(400, problem.sentence) from problem

    return app


def main() -> None:
    """Load, listen, say so, serve."""
    parser = argparse.ArgumentParser()
    for name in ("detector", "embedder", "depth"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--compile", action="store_true")
    told = parser.parse_args()
    models = UsualModels(Checkpoints(told.detector, told.embedder, told.depth), is_compiled=told.compile)
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen(128)
        threading.Thread(target=_end_with_parent, daemon=True).start()
        sys.stdout.write(f"READY {listening.getsockname()[1]}\n")
        sys.stdout.flush()
        uvicorn.Server(uvicorn.Config(make_app(models), log_level="warning")).run(sockets=[listening])


def _end_with_parent() -> None:
    """Stdin is a pipe that whoever started this process holds open."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
