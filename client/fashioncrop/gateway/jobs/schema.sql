-- What is asked and what is answered. procrastinate's own tables stand beside it, in the same schema.

CREATE TABLE job (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'succeeded', 'failed')),
    -- Who asked, by the key's id, and what they may ask for.
    owner text NOT NULL,
    scopes text[] NOT NULL,
    -- The caller's own name for the request: the same name is the same job.
    idempotency_key text,
    digest bytea NOT NULL,
    -- The request as JSON; empty once the job has ended.
    request bytea NOT NULL,
    total integer NOT NULL CHECK (total > 0),
    attempts integer NOT NULL DEFAULT 0,
    problem jsonb,
    created timestamptz NOT NULL DEFAULT now(),
    started timestamptz,
    finished timestamptz,
    -- From then on it may be removed.
    expires timestamptz NOT NULL,
    UNIQUE (owner, idempotency_key)
);

CREATE INDEX job_listed ON job (owner, created DESC, id DESC);
CREATE INDEX job_expires ON job (expires);
CREATE INDEX job_open ON job (created) WHERE state IN ('queued', 'running');

-- One row for each image that is done, so that a worker that takes over goes on where another ended.
CREATE TABLE result (
    job uuid NOT NULL REFERENCES job ON DELETE CASCADE,
    index integer NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (job, index)
);
