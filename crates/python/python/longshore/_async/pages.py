"""Listings."""

from __future__ import annotations

import re
from typing import Any, AsyncIterator, Callable, Generic, List, Optional, TypeVar

from .. import _core
from ._running import run

T = TypeVar("T")


class Pages(Generic[T]):
    """A listing. Nothing is requested until it is read, and each page when its first item is read.

    Each iteration starts the listing again.
    """

    def __init__(
        self,
        start: Callable[[], _core.Pages],
        make: Optional[Callable[[Any], T]] = None,
        keep: Optional[Callable[[str], Any]] = None,
    ) -> None:
        self._start = start
        self._make = make
        self._keep = keep

    async def pages(self) -> AsyncIterator[List[T]]:
        """Yields the pages as the registry sends them."""
        listing = self._start()
        while True:
            page = await run(listing.next())
            if page is None:
                return
            if self._keep is not None:
                page = [item for item in page if self._keep(str(item))]
            yield page if self._make is None else list(map(self._make, page))

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page:
                yield item

    async def first(self, n: int) -> List[T]:
        """Returns the first ``n`` items, or all if there are fewer."""
        items: List[T] = []
        if n <= 0:
            return items
        async for item in self:
            items.append(item)
            if len(items) == n:
                break
        return items

    async def all(self) -> List[T]:
        """Returns all items."""
        items: List[T] = []
        async for page in self.pages():
            items += page
        return items

    def matching(self, regex: str, *, start: bool = False, ignore_case: bool = False) -> Pages[T]:
        """Returns the items whose text matches a regular expression anywhere, or with ``start``
        at the beginning."""
        pattern = re.compile(regex, re.IGNORECASE if ignore_case else 0)
        find = pattern.match if start else pattern.search
        keep = self._keep
        both = find if keep is None else lambda text: keep(text) and find(text)
        return Pages(self._start, self._make, both)

    def __repr__(self) -> str:
        return "<Pages>"
