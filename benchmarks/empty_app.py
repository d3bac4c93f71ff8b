"""What the ingest door is measured against: an empty FastAPI POST, served as the door is served."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.post("/v1/responses", status_code=202)
async def nothing() -> dict[str, str]:
    """Takes the request and says nothing."""
    return {}


if __name__ == "__main__":
    uvicorn.run(
        app, port=int(sys.argv[1]), loop="uvloop", http="httptools", ws="none", access_log=False, log_level="warning"
    )
