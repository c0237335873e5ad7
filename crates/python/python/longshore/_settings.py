"""Settings of clients and registries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

from ._core import Credential
from ._errors import Invalid

CredentialFunction = Callable[[str, Optional[str]], Optional[Credential]]
Auth = Union[
    str, None, Tuple[str, str], Credential, CredentialFunction, Mapping[str, Any]
]
Source = Union[str, List[Tuple[str, Credential]], CredentialFunction]


class Settings:
    """The settings of one registry, or the defaults for all registries.

    - ``scheme``: ``auto`` (plain HTTP only on this machine), ``http``, ``https``, ``by-name``, or
      ``detect``, which falls back to unchecked certificates and plain HTTP.
    - ``url``: the base URL of the registry, with the path before ``/v2/``.
    - ``verify``: false to accept any certificate.
    - ``ca``: certificates of authorities to trust too: PEM data, or the path of a file.
    - ``cert``: the files of a client certificate and its key.
    - ``basic``: ``on-challenge``, ``first`` (send the password with the first request), or
      ``never`` (send it only to the token service).
    - ``token_service``: the URL of the token service, instead of the URL that the registry names.
    - ``token_host``: the host of the token service.
    """

    def __init__(
        self,
        *,
        scheme: str = "auto",
        url: Optional[str] = None,
        verify: bool = True,
        ca: Union[str, os.PathLike[str], bytes, None] = None,
        cert: Optional[Tuple[Union[str, os.PathLike[str]], Union[str, os.PathLike[str]]]] = None,
        basic: str = "on-challenge",
        token_service: Optional[str] = None,
        token_host: Optional[str] = None,
    ) -> None:
        _check_choice("scheme", scheme, ("auto", "http", "https", "by-name", "detect"))
        _check_choice("basic", basic, ("on-challenge", "first", "never"))
        if not isinstance(verify, bool):
            raise TypeError(f"expected verify=True or False, not {type(verify).__name__}")
        self._fields: Dict[str, Any] = {
            "scheme": scheme,
            "url": url,
            "verify": verify,
            "ca": _pem(ca),
            "cert": None if cert is None else tuple(os.fspath(path) for path in cert),
            "basic": basic,
            "token_service": token_service,
            "token_host": token_host,
        }

    def __repr__(self) -> str:
        shown = ("scheme", "verify", "basic")
        return f"Settings({', '.join(f'{name}={self._fields[name]!r}' for name in shown)})"


def _check_choice(name: str, value: str, choices: Tuple[str, ...]) -> None:
    if value not in choices:
        *most, last = choices
        raise Invalid(f'invalid {name} "{value}": expected {", ".join(most)} or {last}')


def check_count(name: str, value: Optional[int]) -> None:
    """Checks that a number, if there is one, is at least 1."""
    if value is not None and value < 1:
        raise Invalid(f"invalid {name} {value}: expected at least 1")


def _pem(ca: Union[str, os.PathLike[str], bytes, None]) -> Optional[str]:
    if ca is None:
        return None
    return ca.decode() if isinstance(ca, bytes) else Path(ca).read_text()


def sources(auth: Any) -> List[Source]:
    """Returns the sources of credentials, in the order in which they are queried."""
    if auth is None:
        return []
    if auth == "environment":
        return ["environment"]
    if isinstance(auth, Mapping):
        return [[(pattern, _credential(value)) for pattern, value in auth.items()]]
    if isinstance(auth, (tuple, Credential)):
        return [[("*", _credential(auth))]]
    if callable(auth):
        function: Any = auth
        return [function]
    raise TypeError(
        'expected auth="environment", None, (user, password), a Credential, a function or a '
        f"mapping, not {type(auth).__name__}"
    )


def _credential(value: Any) -> Credential:
    if isinstance(value, Credential):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        return Credential.login(*value)
    raise TypeError(f"expected (user, password) or a Credential, not {type(value).__name__}")


def proxy_urls(
    proxies: Union[str, Mapping[str, str], None],
) -> Optional[Dict[str, str]]:
    """Returns the proxies by scheme, or ``None`` for those of the environment."""
    if proxies == "environment":
        return None
    if proxies is None:
        return {}
    if isinstance(proxies, str):
        return {"http": proxies, "https": proxies}
    return dict(proxies)
