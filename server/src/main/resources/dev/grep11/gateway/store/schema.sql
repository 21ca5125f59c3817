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

-- version 4
-- Keystores and their keys: bulk, outside of what the head covers. Look-up columns are keyed hashes; a keystore's row holds
-- the number of its keys and a keyed sum over their rows.
CREATE TABLE keystore (row_key BYTEA PRIMARY KEY, instance BYTEA NOT NULL, revision BIGINT NOT NULL, sealed BYTEA NOT NULL);
CREATE INDEX keystore_by_instance ON keystore (instance);
CREATE TABLE keystore_key (keystore BYTEA NOT NULL, row_key BYTEA NOT NULL, version BIGINT NOT NULL, generation BYTEA NOT NULL, older BYTEA NOT NULL, of_class BYTEA NOT NULL, of_type BYTEA NOT NULL, of_label BYTEA NOT NULL, of_id BYTEA NOT NULL, of_subject BYTEA NOT NULL, nonce BYTEA NOT NULL, sealed BYTEA NOT NULL, PRIMARY KEY (keystore, row_key));
CREATE INDEX keystore_key_by_label ON keystore_key (keystore, of_label, row_key);
CREATE INDEX keystore_key_by_id ON keystore_key (keystore, of_id, row_key);
CREATE INDEX keystore_key_by_generation ON keystore_key (generation, keystore);
CREATE INDEX keystore_key_by_older ON keystore_key (older, keystore);
CREATE TABLE keystore_transaction (keystore BYTEA NOT NULL, tag BYTEA NOT NULL, carried_out BIGINT NOT NULL, PRIMARY KEY (keystore, tag));
CREATE INDEX keystore_transaction_by_age ON keystore_transaction (keystore, carried_out);

-- version 5
-- When the store was last backed up, and a backup last tried.
CREATE TABLE upkeep (row_key BYTEA PRIMARY KEY, version BIGINT NOT NULL, sealed BYTEA NOT NULL);
