"""Registries."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple, Type, Union

from .._settings import Auth, Settings, check_count
from .._values import Ping
from ._blob import Blob
from ._running import Content, run
from ._sending import send
from .pages import Pages
from .repository import Repository

if TYPE_CHECKING:
    from typing_extensions import Literal, Self

    from .client import Client


class Reply:
    """The reply to a custom request, whatever its status."""

    def __init__(self, status: int, headers: Mapping[str, str], body: Blob) -> None:
        self._status = status
        self._headers = headers
        self._body = body

    @property
    def status(self) -> int:
        """The status."""
        return self._status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, with names in lower case."""
        return self._headers

    async def read(self) -> bytes:
        """Reads the rest of the body."""
        return await self._body.read()

    async def json(self) -> Any:
        """Reads the body as a JSON document."""
        import json

        return json.loads(await self.read())

    def __repr__(self) -> str:
        return f"<Reply {self._status}>"


class Registry:
    """One registry: a view of a client. Creating one sends nothing.

    - ``name``: the host, and the port if it is not the default, such as ``ghcr.io`` or
      ``localhost:5000``. A URL such as ``https://example.org/registry`` also sets the scheme and
      the path.
    - ``auth``, ``timeout``: see `Client`. Other settings: see `Settings`.
    - ``client``: the client to use, instead of a new one with these settings.
    """

    def __init__(
        self,
        name: str,
        *,
        auth: Auth = "environment",
        timeout: Optional[float] = None,
        client: Optional[Client] = None,
        scheme: str = "auto",
        url: Optional[str] = None,
        verify: bool = True,
        ca: Union[str, os.PathLike[str], bytes, None] = None,
        cert: Optional[Tuple[Union[str, os.PathLike[str]], Union[str, os.PathLike[str]]]] = None,
        basic: str = "on-challenge",
        token_service: Optional[str] = None,
        token_host: Optional[str] = None,
    ) -> None:
        from .client import Client

        if "://" in name:
            url = name
            name = name.partition("://")[2].partition("/")[0].rpartition("@")[2]
        if client is None:
            settings = Settings(
                scheme=scheme,
                url=url,
                verify=verify,
                ca=ca,
                cert=cert,
                basic=basic,
                token_service=token_service,
                token_host=token_host,
            )
            if isinstance(auth, tuple) or type(auth).__name__ == "Credential":
                auth = {name: auth}
            client = Client(auth=auth, timeout=timeout, registries={name: settings})
        self._client = client
        # Checks the name.
        client._core.catalog(name)
        self._name = name

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._client.close()

    @property
    def name(self) -> str:
        """The name: a host, and a port if it is not the default."""
        return self._name

    @property
    def client(self) -> Client:
        """The client that sends the requests."""
        return self._client

    async def ping(self) -> Ping:
        """Pings the registry without credentials (``GET /v2/``)."""
        return Ping(**await run(self._client._core.ping(self._name)))

    async def check_credentials(self) -> None:
        """Checks that the registry accepts the credentials. Raises `Unauthorized` or `Denied`."""
        await run(self._client._core.check_credentials(self._name))

    async def api_version(self) -> Literal[1, 2]:
        """Returns 2, or 1 for a registry that speaks only Docker's first API; see `longshore.v1`."""
        version: Literal[1, 2] = await run(self._client._core.api_version(self._name))
        return version

    def catalog(
        self, *, after: Optional[str] = None, page_size: Optional[int] = None
    ) -> Pages[str]:
        """Lists the repositories (``GET /v2/_catalog``), if the registry supports this.

        - ``after``: the name after which the listing starts.
        - ``page_size``: the number of names to request for each page.
        """
        check_count("page_size", page_size)
        return Pages(lambda: self._client._core.catalog(self._name, after, page_size))

    async def namespaces(self, *, bare_as: Optional[str] = "library") -> Tuple[str, ...]:
        """Returns the namespaces of the repositories, in order. Reads the whole catalog.

        - ``bare_as``: the namespace of repositories without one, or ``None`` to leave them out.
        """
        found = set()
        async for name in self.catalog():
            found.add(name.rpartition("/")[0] or bare_as)
        return tuple(sorted(name for name in found if name is not None))

    async def repositories(self, namespace: Optional[str] = None) -> Dict[str, Repository]:
        """Returns the repositories by name, or only those of a namespace. Reads the whole
        catalog."""
        names: List[str] = [
            name
            async for name in self.catalog()
            if namespace is None or (name.rpartition("/")[0] or "library") == namespace
        ]
        return {name: self.repository(name) for name in names}

    def repository(self, name: str, namespace: Optional[str] = None) -> Repository:
        """Returns a repository. Sends nothing."""
        return Repository(self._client, self._name, f"{namespace}/{name}" if namespace else name)

    def tags(self, repository: str) -> Pages[str]:
        """Lists the tags of a repository."""
        return self.repository(repository).tags()

    async def token(
        self, repository: Optional[str] = None, actions: Sequence[str] = ("pull",)
    ) -> str:
        """Returns a token for a repository, or for the catalog, from the registry's token
        service."""
        token: str = await run(self._client._core.token(self._name, repository, list(actions)))
        return token

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Optional[Mapping[str, str]] = None,
        body: Optional[Content] = None,
        scopes: Sequence[str] = (),
    ) -> Reply:
        """Sends a custom request, with the credentials and retries of all others.

        - ``path``: a path below the registry's base URL, such as ``/v2/``, or a URL at the registry.
        - ``scopes``: scopes for the token, such as ``repository:team/app:pull``.
        """
        client = self._client._core
        fields = dict(headers or {})
        if body is None:
            sent = await run(
                client.request(self._name, method, path, fields, None, list(scopes))
            )
        else:
            sent = await send(
                body,
                lambda content: client.request(
                    self._name, method, path, fields, content, list(scopes)
                ),
            )
        status, names, reader = sent
        return Reply(status, dict(names), Blob(reader, None))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Registry)
            and self._client is other._client
            and self._name == other._name
        )

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return f"<Registry {self._name}>"
