# Written by generate.py from ../_async/client.py. Change that file.
"""The client of any number of registries."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Type, Union

from .. import _core
from .._progress import OnProgress, Reporter, meter
from .._settings import Auth, Settings, check_count, proxy_urls, sources
from .._values import CopySummary, Json, Reference, text_of
from ._running import run
from .image import Image
from .registry import Registry
from .repository import Repository

if TYPE_CHECKING:
    from typing_extensions import Self

PathText = Union[str, "os.PathLike[str]"]

_OPTIONS: Dict[str, Any] = {
    "all_tags": False,
    "platforms": [],
    "referrers": True,
    "referrer_types": [],
    "nondistributable": False,
    "recheck": False,
    "if_absent": False,
    "if_digest": None,
    "parallel": 6,
}
"""The options of a copy, with their defaults."""


class Client:
    """A client of any number of registries. Creating one sends nothing.

    - ``auth``: whose credentials are sent. ``"environment"``: those of ``docker login``, Podman,
      ``.netrc`` and environment variables, as the program ``longshore`` reads them. ``None``:
      nobody's. ``(user, password)`` or a `Credential`: to every registry. A mapping of registries,
      or patterns such as ``*.example.io``, to credentials. A function of the registry and the
      repository that returns a `Credential` or ``None``.
    - ``settings``: the default settings of registries. ``registries``: those of single registries.
    - ``timeout``: the limit in seconds for one request in total. ``connect_timeout`` and
      ``idle_timeout``: the limits for a connection, and for each pause.
    - ``attempts``: the number of attempts for each operation.
    - ``proxies``: ``"environment"``, ``None``, a URL, or URLs by scheme (``http``, ``https``).
      ``no_proxy``: the hosts that are reached without a proxy.
    - ``resolve``: addresses of hosts (``"host:port"``), instead of name resolution.
    - ``page_size``: the number of entries to request for each page of a listing. Default: as many as
      the registry sends.
    - ``cache``: false to forget what earlier clients learned about registries.
    - ``default_registry``, ``default_namespace``, ``default_tag``: the missing parts of short names.

    A client works after a ``fork``: the child makes its own connections. It can be used by several
    threads.
    """

    def __init__(
        self,
        *,
        auth: Auth = "environment",
        settings: Optional[Settings] = None,
        registries: Optional[Mapping[str, Settings]] = None,
        timeout: Optional[float] = None,
        connect_timeout: float = 30,
        idle_timeout: float = 30,
        attempts: int = 5,
        proxies: Union[str, Mapping[str, str], None] = "environment",
        no_proxy: Optional[str] = None,
        resolve: Optional[Mapping[str, str]] = None,
        ipv4: bool = False,
        user_agent: Optional[str] = None,
        page_size: Optional[int] = None,
        cache: bool = True,
        default_registry: str = "docker.io",
        default_namespace: Optional[str] = "library",
        default_tag: str = "latest",
    ) -> None:
        check_count("attempts", attempts)
        check_count("page_size", page_size)
        self._default_tag = default_tag
        self._core = _core.Client(
            {
                "timeout": timeout,
                "connect_timeout": connect_timeout,
                "idle_timeout": idle_timeout,
                "attempts": attempts,
                "proxies": proxy_urls(proxies),
                "no_proxy": no_proxy,
                "resolve": dict(resolve or {}),
                "ipv4": ipv4,
                "user_agent": user_agent,
                "page_size": page_size,
                "cache": cache,
                "default_registry": default_registry,
                "default_namespace": default_namespace,
                "default_tag": default_tag,
                "settings": (settings or Settings())._fields,
                "registries": {
                    name: own._fields for name, own in (registries or {}).items()
                },
            },
            sources(auth),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the idle connections. The client can still be used."""
        self._core.close()

    def registry(self, name: str) -> Registry:
        """Returns a registry. Sends nothing."""
        return Registry(name, client=self)

    def repository(self, name: str) -> Repository:
        """Returns a repository: ``ghcr.io/team/app``, or a short name with the defaults."""
        registry, repository, tag, digest = self._core.reference(name)
        if tag is not None or digest is not None:
            raise ValueError(f'invalid repository "{name}": expected no tag or digest')
        return Repository(self, registry, repository)

    def image(
        self, reference: Union[str, Reference], platform: Optional[str] = None
    ) -> Image:
        """Returns an image: its manifest and its configuration.

        - ``platform``: the platform to select from an index. Default: that of this machine.
        """
        registry, repository, tag, digest = self._core.reference(text_of(reference))
        found = Repository(self, registry, repository)
        image = found.image(digest or tag or self._default_tag, platform)
        if digest is not None and tag is not None:
            image._reference = Reference._of(registry, repository, tag, digest)
        return image

    def load(
        self,
        archive: PathText,
        to: Union[str, Reference],
        *,
        progress: Optional[OnProgress] = None,
    ) -> List[Image]:
        """Sends the image of an archive to a registry: a tar file of ``docker save``, an OCI
        archive, or an OCI layout in a folder."""
        reporter = None if progress is None else Reporter(progress)
        operation = self._core.load(os.fspath(archive), text_of(to), _OPTIONS, meter(reporter))
        report: Json = run(operation, reporter)
        return [self.image(copy["target"]) for copy in report["copies"]]

    def copy(
        self,
        source: Union[str, Reference],
        target: Union[str, Reference],
        *,
        all_tags: bool = False,
        platform: Union[str, Sequence[str], None] = None,
        referrers: Union[bool, Sequence[str]] = True,
        nondistributable: bool = False,
        recheck: bool = False,
        if_absent: bool = False,
        if_digest: Optional[str] = None,
        parallel: int = 6,
        progress: Optional[OnProgress] = None,
    ) -> List[CopySummary]:
        """Copies an image between two locations: ``ghcr.io/team/app:v1``, ``oci:folder:v1``,
        ``oci-archive:file.tar``, ``docker-archive:file.tar:name:tag``.

        - ``all_tags``: true to copy all tags of a repository.
        - ``platform``: the platforms to copy. The default is all.
        - ``referrers``: false to leave signatures and other referrers behind, or the artifact types
          to copy.
        - ``nondistributable``: true to copy layers that may not be redistributed too.
        - ``recheck``: true to check each blob, even if the target holds the manifest.
        - ``if_absent``, ``if_digest``: the copy sets its tag only if the tag does not exist, or if
          it points at this digest. Otherwise it raises `Conflict`.
        - ``parallel``: the number of blobs in flight.
        """
        check_count("parallel", parallel)
        options = {
            **_OPTIONS,
            "all_tags": all_tags,
            "platforms": [platform] if isinstance(platform, str) else list(platform or ()),
            "referrers": referrers is not False,
            "referrer_types": [] if isinstance(referrers, bool) else list(referrers),
            "nondistributable": nondistributable,
            "recheck": recheck,
            "if_absent": if_absent,
            "if_digest": if_digest,
            "parallel": parallel,
        }
        reporter = None if progress is None else Reporter(progress)
        operation = self._core.copy(text_of(source), text_of(target), options, meter(reporter))
        report: Json = run(operation, reporter)
        return [CopySummary._of(copy) for copy in report["copies"]]

    def _append(
        self,
        image: Image,
        layers: List[str],
        target: str,
        created_by: Optional[str],
        comment: Optional[str],
    ) -> None:
        source = str(image.reference.replace(tag=None, digest=image.manifest.digest))
        run(self._core.append(source, layers, target, created_by, comment))

    def statistics(self) -> Json:
        """Returns the number of requests so far, the bytes of their bodies, and the waits."""
        counted: Any = self._core.statistics()
        return dict(counted)

    def __repr__(self) -> str:
        return "<Client>"
