-- version 1
-- Portable between SQLite and PostgreSQL. Every table of records has the same shape: a keyed hash of what the record is
-- found by, the generation in which the row was written, and the sealed record.
CREATE TABLE data_key (id INTEGER PRIMARY KEY CHECK (id = 1), sealed BYTEA NOT NULL);
CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), generation BIGINT NOT NULL, sealed BYTEA NOT NULL);
CREATE TABLE instance (row_key BYTEA PRIMARY KEY, version BIGINT NOT NULL, sealed BYTEA NOT NULL);
CREATE TABLE access_grant (row_key BYTEA PRIMARY KEY, version BIGINT NOT NULL, sealed BYTEA NOT NULL);
CREATE TABLE api_key (row_key BYTEA PRIMARY KEY, version BIGINT NOT NULL, sealed BYTEA NOT NULL);
CREATE TABLE registry (row_key BYTEA PRIMARY KEY, version BIGINT NOT NULL, sealed BYTEA NOT NULL);

-- version 2
-- What running gateways say of themselves, and how much generations of sealing keys are used.
CREATE TABLE replica (row_key BYTEA PRIMARY KEY, version BIGINT NOT NULL, sealed BYTEA NOT NULL);
CREATE TABLE sealing_key_use (row_key BYTEA PRIMARY KEY, version BIGINT NOT NULL, sealed BYTEA NOT NULL);

-- version 3
-- Certificate administrators, leave to become one, events of what they change until these are in an audit file, and the
-- last checkpoints of audit files.
CREATE TABLE administrator (row_key BYTEA PRIMARY KEY, version BIGINT NOT NULL, sealed BYTEA NOT NULL);
CREATE TABLE enrolment (row_key BYTEA PRIMARY KEY, version BIGINT NOT NULL, sealed BYTEA NOT NULL);
CREATE TABLE event (row_key BYTEA PRIMARY KEY, version BIGINT NOT NULL, sealed BYTEA NOT NULL);
CREATE TABLE audit_head (row_key BYTEA PRIMARY KEY, version BIGINT NOT NULL, sealed BYTEA NOT NULL);
