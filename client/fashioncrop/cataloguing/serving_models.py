"""Which models the server has, as far as vectors depend on them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from fashioncrop._client import AsyncClient
from fashioncrop.errors import CatalogueError
from fashioncrop.model_repository import PIPELINE, Role, read_config, shipped_repository
from fashioncrop.results import ModelIdentity


@dataclass(frozen=True)
class ServingModels:
    """What the server says of itself.

    Attributes:
        identity: all of it: changes whenever an answer may.
        image: the model that embeds crops.
        text: the model that embeds words; None where an older server does not tell.
    """

    identity: str
    image: ModelIdentity
    text: ModelIdentity | None

    def paired_text(self) -> ModelIdentity:
        """The model that embeds words, if its vectors can be compared with crops'.

        Raises:
            CatalogueError: the two were made from different checkpoints.
        """
        if self.text is None or (self.text.name, self.text.version) != (self.image.name, self.image.version):
            other = "none that it tells of" if self.text is None else f"{self.text.name} {self.text.version[:12]}"
            raise CatalogueError(
                f"The server embeds crops with {self.image.name} {self.image.version[:12]} and words with {other}, so "
                "that words find nothing. Export both from one checkpoint: fashioncrop-export --only image_embedder "
                "--only text_embedder --force"
            )
        return self.text


async def ask_for_models(client: AsyncClient) -> ServingModels:
    """Ask the server; no photo is sent.

    Raises:
        FashionCropError: it does not answer.
    """
    identity = await client.server_identity()
    models = {one["role"]: ModelIdentity.model_validate(one) for one in json.loads(identity)["models"]}
    return ServingModels(identity, models[Role.IMAGE_EMBEDDER], models.get(Role.TEXT_EMBEDDER))


def embedding_width() -> int:
    """Numbers in an embedding, as the pipeline's configuration declares them."""
    outputs = {output.name: output for output in read_config(shipped_repository(), PIPELINE).output}
    return int(outputs["embeddings"].dims[-1])


def warnings_of(model: ModelIdentity) -> tuple[str, ...]:
    """What a reader must know of a model that embedded words, as the server says it of those that saw a photo."""
    if not model.trained:
        return (f"{model.role} has random weights: what it says means nothing.",)
    if model.domain is not None:
        return (f"{model.role}: trained on {model.domain} only. Of photographs, what it says means little.",)
    return ()


def foreign(shown: str, made_by: ModelIdentity, served: ModelIdentity) -> CatalogueError:
    """Other models made the catalogue.

    Args:
        shown: the catalogue's place, as it may be shown.
        made_by: the model of its vectors.
        served: the server's.
    """
    return CatalogueError(
        f"The catalogue at {shown} was made by {described(made_by)}, and this server embeds with {described(served)}. "
        "Vectors of two models cannot be compared. Start the server with those models, or have every photo of the "
        "catalogue analysed again: fashioncrop index --reindex"
    )


def described(model: ModelIdentity) -> str:
    """The model, as an error names it."""
    return f"{model.name} {model.version[:12]} ({model.digest[:19]})"
