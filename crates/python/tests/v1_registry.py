"""A registry that speaks only Docker's v1 API."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, Iterator, Tuple

BASE = "b" * 64
TOP = "a" * 64
IMAGES = {BASE: {"id": BASE, "architecture": "amd64"}, TOP: {"id": TOP, "parent": BASE}}
REPOSITORY = "namespace/repository_name"


class Handler(BaseHTTPRequestHandler):
    """Answers requests for one repository, whose tags can be changed."""

    tags: Dict[str, str]

    def do_GET(self) -> None:
        self._reply(*self._get(self.path.partition("?")[0].split("/")[1:]))

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.tags[self.path.split("/")[-1]] = json.loads(content)
        self._reply(200, True)

    def do_DELETE(self) -> None:
        self._reply(200 if self.tags.pop(self.path.split("/")[-1], None) else 404, True)

    def _get(self, parts: "list[str]") -> Tuple[int, Any]:
        if parts == ["v1", "_ping"]:
            return 200, True
        if parts == ["v1", "search"]:
            return 200, {"num_results": 1, "query": "", "results": [{"name": REPOSITORY}]}
        if parts[:2] == ["v1", "repositories"] and "/".join(parts[2:4]) == REPOSITORY:
            what = parts[5:]
            if not what:
                return 200, self.tags
            if what[0] in self.tags:
                return 200, self.tags[what[0]] if len(what) == 1 else {"docker_version": "1.4.1"}
        if parts[:2] == ["v1", "images"] and parts[2] in IMAGES:
            if parts[3] == "json":
                return 200, IMAGES[parts[2]]
            if parts[3] == "ancestry":
                return 200, [TOP, BASE] if parts[2] == TOP else [BASE]
            return 200, b"layer"
        return 404, {"error": "not found"}

    def _reply(self, status: int, body: Any) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def v1_registry() -> Iterator[str]:
    """Starts a registry whose repository has one tag, ``tag``. Yields its address."""
    handler = type("OwnHandler", (Handler,), {"tags": {"tag": TOP}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
