"""What an analysis holds. Frozen, typed, and published as a JSON schema (`fashioncrop schema`).

All boxes are `[x0, y0, x1, y1)` in pixels of the upright photo (EXIF orientation applied), origin top left.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Box = tuple[float, float, float, float]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PhotoInfo(_Frozen):
    """The photo that was analysed.

    Attributes:
        name: file name, URL's last part, `stdin`, `bytes` or `array`.
        width: of the upright photo, in pixels.
        height: of the upright photo, in pixels.
        format: of the file, as Pillow names it.
    """

    name: str = ""
    width: int
    height: int
    format: str


class Category(_Frozen):
    """A Fashionpedia category (Jia et al., ECCV 2020).

    Attributes:
        id: Fashionpedia's id, 0 to 26.
        name: Fashionpedia's name.
        supercategory: Fashionpedia's super-category.
    """

    id: int
    name: str
    supercategory: str


class Colour(_Frozen):
    """One colour of a garment.

    Attributes:
        hex: `#rrggbb`, sRGB.
        name: nearest of a small table of names.
        share: part of the garment's pixels.
    """

    hex: str
    name: str
    share: Share


class Depth(_Frozen):
    """Distance from the camera, compared with the photo's other garments.

    Attributes:
        median: relative inverse depth inside the box: larger is nearer, no unit, comparable within one photo only.
        spread: interquartile range of the same.
        order: 1 is the nearest garment.
    """

    median: float
    spread: float
    order: int


class Crop(_Frozen):
    """The garment cut out of the photo.

    Attributes:
        box_xyxy: what was cut, whole pixels: the garment's box with padding.
        jpeg: the file; not part of the JSON.
        file: where the file was written, relative to the output folder; None where it was not.
        url: where the file is in an object store; None where it was not stored.
    """

    box_xyxy: tuple[int, int, int, int]
    jpeg: bytes | None = Field(default=None, exclude=True, repr=False)
    file: str | None = None
    url: str | None = None


NOT_VISIBLE = "not visible"
"""What a describer says of an attribute that the crop does not show, so that it never has to invent."""


class Description(_Frozen):
    """What a vision-language model says of one garment. A text may be `not visible`.

    Attributes:
        type: such as "button-up shirt".
        colours: main colour first; empty where they cannot be told.
        pattern: such as "striped".
        material: as it looks.
        sleeve: length and kind.
        neckline: such as "crew neck" or "collared".
        length: such as "knee-length".
        fit: such as "relaxed".
        details: pockets, buttons, prints ...; may be empty.
        sentence: one that a shop could print.
    """

    type: str
    colours: tuple[str, ...]
    pattern: str
    material: str
    sleeve: str
    neckline: str
    length: str
    fit: str
    details: tuple[str, ...]
    sentence: str


class Usage(_Frozen):
    """What one paid model was asked for one photo.

    Attributes:
        model: as its endpoint names it.
        calls: answered requests, repairs included.
        input_tokens: all that was sent, `cached_input_tokens` included.
        cached_input_tokens: those that the endpoint had from an earlier call.
        output_tokens: all that was answered.
        dollars: by the price table; None where it has no price for the model.
    """

    model: str
    calls: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    dollars: float | None


class Cost(_Frozen):
    """What the paid models took for one photo.

    Attributes:
        usages: one for each model.
        dollars: their sum; None where a price is unknown.
    """

    usages: tuple[Usage, ...]
    dollars: float | None


class Garment(_Frozen):
    """One garment.

    Attributes:
        id: number within the photo, from 0, best score first.
        phrase: what it was found as, as the vocabulary has it.
        phrase_id: index into `Analysis.vocabulary`.
        category: what the phrase names in Fashionpedia; None where it names nothing there.
        score: of the phrase, 0 to 1 (the largest probability among the phrase's own tokens).
        box_xyxy: where it is.
        crop: the garment cut out.
        embedding: CLIP image embedding of the crop, [512], L2 norm 1; None where it was not asked for.
        depth: how far it is.
        colours: the largest first.
        flags: `cut_by_frame`, `too_small`, `blurred`, `overlapped`.
        overlapped_by: ids of nearer garments that lie over at least half of it.
        description: in words; None where nobody was asked or no usable answer came.
        description_problem: why there is no description although one was asked for; None otherwise.
    """

    id: int
    phrase: str
    phrase_id: int
    category: Category | None
    score: Share
    box_xyxy: Box
    crop: Crop
    embedding: tuple[float, ...] | None = Field(default=None, repr=False)
    depth: Depth
    colours: tuple[Colour, ...]
    flags: tuple[str, ...]
    overlapped_by: tuple[int, ...]
    description: Description | None = None
    description_problem: str | None = None


class Detection(_Frozen):
    """A box that was found, where nothing else was asked for.

    Attributes:
        phrase: what it was found as.
        phrase_id: index into what was looked for.
        score: 0 to 1.
        box_xyxy: where it is.
    """

    phrase: str
    phrase_id: int
    score: Share
    box_xyxy: Box


class ServedModel(_Frozen):
    """A model of the server's repository, as the server sees it now.

    Attributes:
        name: on the server.
        version: that is served; None where none was loaded yet.
        state: `ready`, `loading`, `unloading` or `unavailable`.
        reason: why it is unavailable, in the server's words; empty otherwise.
        memory_bytes: what it holds; None where its backend does not say.
    """

    name: str
    version: str | None
    state: str
    reason: str
    memory_bytes: int | None


class ModelIdentity(_Frozen):
    """A model that took part.

    Attributes:
        role: its name on the server.
        name: the checkpoint it was made from.
        version: the checkpoint's revision.
        digest: of the engine file, `sha256:...`.
        source: `full`, `paperdoll`, `random`, `tiny` or `directory`, as export was told.
        trained: False for random weights, whose answers mean nothing.
        variant: the configuration that it is served by, `int8` for instance; empty for the usual one.
        domain: what alone it was trained on, "drawn scenes" for instance; None for a model of photographs.
    """

    role: str
    name: str
    version: str
    digest: str
    source: str
    trained: bool
    variant: str = ""
    domain: str | None = None


class Analysis(_Frozen):
    """Everything that was found in one photo.

    Attributes:
        photo: the photo.
        vocabulary: what was looked for.
        garments: what was found, best score first; empty where there is nothing.
        models: the models that took part.
        warnings: sentences that a reader must know before trusting the answer.
        timings_ms: milliseconds by stage; `total` is the server's, `request` the client's. Stages may overlap.
        cost: tokens and dollars of paid models; None where none was asked.
        cached: True where all of it came from a cache and no model was asked.
    """

    photo: PhotoInfo
    vocabulary: tuple[str, ...]
    garments: tuple[Garment, ...]
    models: tuple[ModelIdentity, ...]
    warnings: tuple[str, ...]
    timings_ms: dict[str, float]
    cost: Cost | None = None
    cached: bool = False


def json_schema() -> dict[str, Any]:
    """The JSON schema of `Analysis` as it is printed and written to `analysis.json`."""
    return Analysis.model_json_schema(mode="serialization")
