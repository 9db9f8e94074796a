"""Numbers the images of a page in the order in which its content shows them. Pure.

One number per address, however often it is shown. It refuses nothing.
"""

from collections.abc import Iterable, Mapping

from services.reader.dom import Picture


class Album:
    """The images that were shown, by address."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}

    def label(self, url: str, alt: str) -> str:
        """The name under which the image stands in the content, such as `Image 2: a cat`."""
        if url not in self._labels:
            number = f"Image {len(self._labels) + 1}"
            self._labels[url] = f"{number}: {alt}" if alt else number
        return self._labels[url]

    def rename(self, addresses: Mapping[str, str]) -> None:
        """Gives images the addresses that they have behind the stand-ins in `addresses`."""
        self._labels = {addresses.get(url, url): label for url, label in self._labels.items()}

    def summary(self, pictures: Iterable[Picture]) -> list[tuple[str, str]]:
        """Name and address of every image: those shown, then those that the content left out."""
        rows = [(label, url) for url, label in self._labels.items()]
        seen = set(self._labels)
        hidden = 0
        for picture in pictures:
            if picture.url not in seen:
                seen.add(picture.url)
                hidden += 1
                rows.append((f"Hidden Image {hidden}", picture.url))
        return rows
