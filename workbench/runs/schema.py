"""The tables of a run's database, as an append-only list of named migrations.

Never change an entry that was released: append one. ``PRAGMA user_version`` is the number of
migrations applied, so an older program recognises a newer file and refuses to write it.
"""

_FIRST = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX events_by_kind ON events (kind, cursor);
CREATE TABLE stages (
    stage TEXT PRIMARY KEY,
    started_at REAL NOT NULL,
    finished_at REAL,
    seconds REAL,
    counts TEXT
) WITHOUT ROWID;
CREATE TABLE rounds (round INTEGER PRIMARY KEY, cursor INTEGER NOT NULL);
CREATE TABLE samples (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    origin TEXT NOT NULL,
    round INTEGER NOT NULL,
    written_for TEXT,
    reason TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    answered_by TEXT NOT NULL,
    discriminator_score REAL,
    excess REAL,
    confidence REAL,
    nearest_seed INTEGER,
    edited INTEGER NOT NULL,
    version INTEGER NOT NULL,
    owed INTEGER NOT NULL,
    teacher_output TEXT,
    input TEXT NOT NULL,
    folded TEXT NOT NULL
);
CREATE INDEX samples_by_status ON samples (status);
CREATE INDEX samples_by_score
    ON samples (discriminator_score, status, origin, edited, decided_by);
CREATE INDEX samples_by_excess ON samples (excess, status, origin, edited, decided_by);
CREATE INDEX samples_by_confidence ON samples (confidence, status, origin, edited, decided_by);
CREATE INDEX samples_by_answer
    ON samples (teacher_output, status, origin, edited, decided_by, discriminator_score);
CREATE INDEX samples_by_reason ON samples (reason) WHERE status = 'rejected';
CREATE INDEX samples_edited ON samples (seq) WHERE edited;
CREATE INDEX samples_decided ON samples (seq) WHERE decided_by = 'person';
CREATE INDEX samples_owed ON samples (seq) WHERE owed;
CREATE TABLE tallies (status TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER tally_insert AFTER INSERT ON samples BEGIN
    INSERT INTO tallies VALUES (new.status, 1) ON CONFLICT (status) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER tally_delete AFTER DELETE ON samples BEGIN
    UPDATE tallies SET n = n - 1 WHERE status = old.status;
END;
CREATE TRIGGER tally_update AFTER UPDATE OF status ON samples WHEN new.status <> old.status BEGIN
    UPDATE tallies SET n = n - 1 WHERE status = old.status;
    INSERT INTO tallies VALUES (new.status, 1) ON CONFLICT (status) DO UPDATE SET n = n + 1;
END;
CREATE TABLE edits (
    edit INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    what TEXT NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE changes (
    edit INTEGER NOT NULL REFERENCES edits (edit) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    before TEXT,
    after TEXT NOT NULL,
    PRIMARY KEY (edit, seq)
) WITHOUT ROWID;
CREATE TABLE answers (
    arm TEXT NOT NULL,
    row INTEGER NOT NULL,
    prediction TEXT NOT NULL,
    correct INTEGER NOT NULL,
    PRIMARY KEY (arm, row)
) WITHOUT ROWID;
"""

_SCORES = "ALTER TABLE answers ADD COLUMN score REAL;"

# The order of a page is a value, then ``seq``: with both in its index nothing is left to be sorted.
_SORTED = """
DROP INDEX samples_by_score;
CREATE INDEX samples_by_score
    ON samples (discriminator_score, seq, status, origin, edited, decided_by);
DROP INDEX samples_by_excess;
CREATE INDEX samples_by_excess ON samples (excess, seq, status, origin, edited, decided_by);
DROP INDEX samples_by_confidence;
CREATE INDEX samples_by_confidence
    ON samples (confidence, seq, status, origin, edited, decided_by);
DROP INDEX samples_by_answer;
CREATE INDEX samples_by_answer
    ON samples (teacher_output, seq, status, origin, edited, decided_by, discriminator_score);
"""

MIGRATIONS: tuple[tuple[str, str], ...] = (
    ("first tables", _FIRST),
    ("scores of answers", _SCORES),
    ("pages in the order of an index", _SORTED),
)
