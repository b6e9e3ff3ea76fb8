"""Fashionpedia's 27 main garment categories and the words that name them.

Ids, names and super-categories are those of Fashionpedia (Jia et al., ECCV 2020), `attributes_train2020.json`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Category:
    """One Fashionpedia category.

    Attributes:
        id: Fashionpedia's id, 0 to 26.
        name: Fashionpedia's name; several nouns where it joins several garments.
        supercategory: Fashionpedia's super-category.
        words: further words for the same garment, singular, lower case.
    """

    id: int
    name: str
    supercategory: str
    words: tuple[str, ...] = ()

    @property
    def nouns(self) -> tuple[str, ...]:
        """The name's own nouns, each a phrase that a detector can look for."""
        return tuple(self.name.split(", "))


CATEGORIES = (
    Category(0, "shirt, blouse", "upperbody", ("button-up shirt", "dress shirt", "polo shirt", "flannel shirt")),
    Category(1, "top, t-shirt, sweatshirt", "upperbody", ("tee", "tee shirt", "tank top", "crop top", "hoodie")),
    Category(2, "sweater", "upperbody", ("pullover", "jumper", "turtleneck")),
    Category(3, "cardigan", "upperbody"),
    Category(4, "jacket", "upperbody", ("blazer", "denim jacket", "leather jacket", "bomber jacket", "suit jacket")),
    Category(5, "vest", "upperbody", ("waistcoat", "gilet")),
    Category(6, "pants", "lowerbody", ("trousers", "jeans", "leggings", "chinos", "sweatpants", "slacks")),
    Category(7, "shorts", "lowerbody", ("bermuda shorts",)),
    Category(8, "skirt", "lowerbody", ("miniskirt", "mini skirt", "maxi skirt", "pencil skirt")),
    Category(9, "coat", "wholebody", ("overcoat", "trench coat", "parka", "raincoat")),
    Category(10, "dress", "wholebody", ("gown", "sundress", "maxi dress", "mini dress")),
    Category(11, "jumpsuit", "wholebody", ("romper", "overalls", "dungarees", "playsuit")),
    Category(12, "cape", "wholebody", ("poncho", "cloak")),
    Category(13, "glasses", "head", ("sunglasses", "eyeglasses", "spectacles")),
    Category(14, "hat", "head", ("cap", "beanie", "baseball cap", "beret")),
    Category(
        15,
        "headband, head covering, hair accessory",
        "head",
        ("headscarf", "hijab", "hair clip", "hair band", "bandana"),
    ),
    Category(16, "tie", "neck", ("necktie", "bow tie", "bowtie")),
    Category(17, "glove", "arms and hands", ("mitten",)),
    Category(18, "watch", "arms and hands", ("wristwatch",)),
    Category(19, "belt", "waist"),
    Category(20, "leg warmer", "legs and feet"),
    Category(21, "tights, stockings", "legs and feet", ("pantyhose", "nylons")),
    Category(22, "sock", "legs and feet"),
    Category(
        23, "shoe", "legs and feet", ("sneaker", "boot", "sandal", "heel", "loafer", "trainer", "slipper", "footwear")
    ),
    Category(
        24, "bag, wallet", "others", ("handbag", "backpack", "purse", "tote", "tote bag", "clutch", "shoulder bag")
    ),
    Category(25, "scarf", "others", ("shawl",)),
    Category(26, "umbrella", "others", ("parasol",)),
)

DEFAULT_VOCABULARY = tuple(noun for category in CATEGORIES for noun in category.nouns)
"""What is looked for when a request brings no vocabulary: every noun of every category, 34 phrases."""

_BY_WORD = {word: category for category in CATEGORIES for word in (*category.nouns, *category.words)}


def category_of(phrase: str) -> Category | None:
    """The category a phrase names, or None where the phrase is none of its words.

    Case, surrounding space, a leading article and a plural s do not matter. A phrase with an adjective is found by its
    last words ("red leather jacket" by "leather jacket"), because English puts the noun last.
    """
    words = phrase.lower().split()
    if words and words[0] in {"a", "an", "the"}:
        words = words[1:]
    while words:
        for form in _singulars(" ".join(words)):
            if form in _BY_WORD:
                return _BY_WORD[form]
        words = words[1:]
    return None


def _singulars(phrase: str) -> tuple[str, ...]:
    forms = [phrase]
    if phrase.endswith("es"):
        forms.append(phrase[:-2])
    if phrase.endswith("s"):
        forms.append(phrase[:-1])
    if phrase.endswith("ves"):  # scarves
        forms.append(phrase[:-3] + "f")
    return tuple(forms)
