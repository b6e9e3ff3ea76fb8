"""What the template is given of one photo: words, pictures and places, and no decisions left."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from fashioncrop.reporting import _words
from fashioncrop.reporting._overlay import Mark, is_crowd, marks
from fashioncrop.reporting._pictures import Picture, crop_picture, photo_picture
from fashioncrop.results import Analysis, Colour, Garment

_HEX = re.compile(r"#[0-9A-Fa-f]{6}")


@dataclass(frozen=True)
class Swatch:
    """A colour of a garment.

    Attributes:
        hex: `#rrggbb`; empty where the analysis holds something else.
        name: in words.
        share: in words.
        x: where its part of the bar begins, as a percentage.
        width: of its part.
    """

    hex: str
    name: str
    share: str
    x: str
    width: str


@dataclass(frozen=True)
class Card:
    """A garment.

    Attributes:
        anchor: the card's `id`; the box's is the same with a `b` before it.
        number: from 1, as it stands on the box.
        garment: as it was answered.
        crop: its picture; None where there is none.
        category: in words; empty where there is none.
        score: in words.
        attributes: name and text of what the description says.
        hidden: names of what could not be seen.
        swatches: its colours.
        depth: in words.
        notes: flags in plain words.
        covered_by: number, anchor and phrase of the garments that lie over it.
    """

    anchor: str
    number: int
    garment: Garment
    crop: Picture | None
    category: str
    score: str
    attributes: list[tuple[str, str]]
    hidden: list[str]
    swatches: list[Swatch]
    depth: str
    notes: list[str]
    covered_by: list[tuple[int, str, str]]


@dataclass(frozen=True)
class Section:
    """A photo.

    Attributes:
        anchor: its `id`.
        name: of the photo.
        analysis: as it was answered.
        picture: None where it cannot be shown.
        problem: why it cannot be shown.
        marks: boxes, the largest first.
        crowd: True where numbers are shown only of the box that is pointed at.
        cards: garments, best score first.
        facts: what stands under the name.
        bars: stage, time in words, bar length.
        time: all of it, in words; empty where it is not known.
        cost: in words; empty where nothing was paid.
    """

    anchor: str
    name: str
    analysis: Analysis
    picture: Picture | None
    problem: str
    marks: list[Mark]
    crowd: bool
    cards: list[Card]
    facts: list[str]
    bars: list[tuple[str, str, str]]
    time: str
    cost: str


@dataclass(frozen=True)
class FailedSection:
    """A photo that was not analysed.

    Attributes:
        anchor: its `id`.
        name: what was asked for.
        problem: why there is no answer.
    """

    anchor: str
    name: str
    problem: str


@dataclass(frozen=True)
class Content:
    """A line of the table of contents.

    Attributes:
        anchor: of the section.
        name: of the photo.
        summary: how many garments.
        alert: what to look at first; empty where all is well.
    """

    anchor: str
    name: str
    summary: str
    alert: str


@dataclass
class Totals:
    """What the head says of all photos.

    Attributes:
        contents: a line for each photo.
        failed: photos without an answer.
        garments: found in all photos.
        described: of these, how many have a description.
        tokens: of the photos that a model was asked for this time.
        dollars: of the same.
        unpriced: photos with a cost that the price table does not know.
    """

    contents: list[Content] = field(default_factory=list)
    failed: int = 0
    garments: int = 0
    described: int = 0
    tokens: int = 0
    dollars: float = 0.0
    unpriced: int = 0

    def add(self, found: Section) -> None:
        """Count one photo."""
        analysis = found.analysis
        garments = _words.count(len(analysis.garments), "garment")
        alert = _words.count(len(analysis.warnings), "warning") if analysis.warnings else ""
        self.contents.append(Content(found.anchor, found.name, garments, alert))
        self.garments += len(analysis.garments)
        self.described += sum(garment.description is not None for garment in analysis.garments)
        if analysis.cost is not None and not analysis.cached:
            self.tokens += sum(usage.input_tokens + usage.output_tokens for usage in analysis.cost.usages)
            self.dollars += analysis.cost.dollars or 0.0
            self.unpriced += analysis.cost.dollars is None

    def add_failed(self, failed: FailedSection) -> None:
        """Count one photo that has no answer."""
        self.contents.append(Content(failed.anchor, failed.name, "", "not analysed"))
        self.failed += 1

    @property
    def figures(self) -> list[tuple[str, str]]:
        """Number and what it counts."""
        figures = [
            (f"{len(self.contents):,}", "photo" if len(self.contents) == 1 else "photos"),
            (f"{self.garments:,}", "garment" if self.garments == 1 else "garments"),
        ]
        if self.failed:
            figures.append((f"{self.failed:,}", "not analysed"))
        if self.described:
            figures.append((f"{self.described:,}", "described"))
        if self.tokens:
            price = _words.dollars(self.dollars)
            figures.append((f"over {price}" if self.unpriced else price, _words.count(self.tokens, "token")))
        return figures


def section(analysis: Analysis, photo: Image.Image | str, number: int) -> Section:
    """Everything about one photo.

    Args:
        analysis: what was found.
        photo: upright, or the sentence that says why it cannot be shown.
        number: of the photo in the report, from 1.
    """
    image = None if isinstance(photo, str) else photo
    info = analysis.photo
    timings = analysis.timings_ms
    whole = timings.get("request", timings.get("total"))
    anchor = f"p{number}"
    facts = [f"{info.width:,} \u00d7 {info.height:,} px", info.format, _words.count(len(analysis.garments), "garment")]
    return Section(
        anchor=anchor,
        name=info.name.strip() or f"Photo {number}",
        analysis=analysis,
        picture=None if image is None else photo_picture(image),
        problem=photo if isinstance(photo, str) else "",
        marks=marks(analysis.garments, (info.width, info.height)) if image is not None else [],
        crowd=is_crowd(analysis.garments),
        cards=[_card(analysis.garments, index, anchor, image) for index in range(len(analysis.garments))],
        facts=[fact for fact in facts if fact.strip()],
        bars=_words.bars(timings),
        time="" if whole is None else _words.milliseconds(whole),
        cost="" if analysis.cost is None else _words.cost_words(analysis.cost),
    )


def _card(garments: Sequence[Garment], index: int, anchor: str, photo: Image.Image | None) -> Card:
    garment = garments[index]
    said, hidden = ([], []) if garment.description is None else _words.attributes(garment.description)
    covering = [other for other in range(len(garments)) if garments[other].id in garment.overlapped_by]
    notes = [_words.flag_words(flag) for flag in garment.flags if not (flag == "overlapped" and covering)]
    return Card(
        anchor=f"{anchor}g{index}",
        number=index + 1,
        garment=garment,
        crop=crop_picture(garment.crop, photo),
        category="" if garment.category is None else _words.category_words(garment.category, garment.phrase),
        score=_words.percent(garment.score),
        attributes=said,
        hidden=hidden,
        swatches=swatches(garment.colours),
        depth=_words.depth_words(garment.depth, len(garments)) if len(garments) > 1 else "",
        notes=notes,
        covered_by=[(other + 1, f"{anchor}g{other}", garments[other].phrase) for other in covering],
    )


def swatches(colours: Sequence[Colour]) -> list[Swatch]:
    """A garment's colours, side by side in one bar."""
    whole = max(sum(colour.share for colour in colours), 1.0)
    found, start = [], 0.0
    for colour in colours:
        width = 100 * colour.share / whole
        shown = colour.hex if _HEX.fullmatch(colour.hex) else ""
        found.append(Swatch(shown, colour.name, _words.percent(colour.share), f"{start:.2f}%", f"{width:.2f}%"))
        start += width
    return found
