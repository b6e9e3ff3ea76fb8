"""Photos, their garments, and the spaces that the garments' vectors belong to."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_EXTENSION = "CREATE EXTENSION IF NOT EXISTS vector"

# Types and operators of the extension are where its owner put it: `public` usually, `extensions` at Supabase.
_SEARCH_PATH = """
SELECT set_config('search_path', 'fashioncrop, ' || quote_ident(nspname), true)
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'vector'
"""

_TABLES = """
CREATE TABLE space (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest    text    NOT NULL UNIQUE,
    name      text    NOT NULL,
    version   text    NOT NULL,
    source    text    NOT NULL,
    trained   boolean NOT NULL,
    domain    text,
    dimension integer NOT NULL CHECK (dimension BETWEEN 1 AND 4000),
    UNIQUE (id, dimension)
);
COMMENT ON TABLE space IS
    'An embedding model, by the digest of its engine. Vectors are compared within one space only.';

CREATE TABLE photo (
    id         bigint      PRIMARY KEY,
    source     text        NOT NULL,
    sha256     bytea       NOT NULL CHECK (octet_length(sha256) = 32),
    recipe     text        NOT NULL,
    space_id   integer     NOT NULL REFERENCES space,
    analysis   jsonb       NOT NULL,
    indexed_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, space_id)
);
COMMENT ON COLUMN photo.id IS 'The first 63 bits of the SHA-256 of the source: the same in every catalogue.';
COMMENT ON COLUMN photo.source IS 'An absolute path, a URL, or the URL of an object in a store.';
COMMENT ON COLUMN photo.sha256 IS 'Of the file.';
COMMENT ON COLUMN photo.recipe IS 'Digest of what else shapes the answer: options and models.';
COMMENT ON COLUMN photo.analysis IS 'The answer, as `fashioncrop schema` describes it, without embeddings.';
CREATE INDEX photo_space ON photo (space_id);

CREATE TABLE category (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text    NOT NULL UNIQUE,
    supercategory text    NOT NULL
);
COMMENT ON TABLE category IS 'The categories that garments of this catalogue have, of Fashionpedia''s.';

CREATE TABLE garment (
    photo_id    bigint  NOT NULL,
    number      integer NOT NULL CHECK (number >= 0),
    space_id    integer NOT NULL,
    dimension   integer NOT NULL,
    category_id integer REFERENCES category,
    phrase      text    NOT NULL,
    colours     text[]  NOT NULL,
    embedding   halfvec NOT NULL CHECK (vector_dims(embedding) = dimension),
    PRIMARY KEY (photo_id, number),
    -- Checked at the end of a transaction, in which a photo and its garments may move to another space.
    FOREIGN KEY (photo_id, space_id) REFERENCES photo (id, space_id) ON DELETE CASCADE
        DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (space_id, dimension) REFERENCES space (id, dimension)
);
COMMENT ON TABLE garment IS
    'What is searched. A space with many garments, and a category in it, has an index of its own over their vectors.';
COMMENT ON COLUMN garment.number IS 'The garment''s place in photo.analysis.';
COMMENT ON COLUMN garment.phrase IS 'What it was found as, in lower case.';
COMMENT ON COLUMN garment.colours IS 'Names of its colours, the largest first.';
COMMENT ON COLUMN garment.embedding IS 'L2 norm 1, in half precision.';
CREATE INDEX garment_category ON garment (space_id, category_id);
CREATE INDEX garment_phrase ON garment (phrase);
CREATE INDEX garment_colours ON garment USING gin (colours);
"""


def upgrade() -> None:
    """Make the tables."""
    for step in (_EXTENSION, _SEARCH_PATH, _TABLES):
        op.execute(step)


def downgrade() -> None:
    """Remove them, and what is in them; the extension may be used by others."""
    for table in ("garment", "category", "photo", "space"):
        op.execute(f"DROP TABLE fashioncrop.{table}")
