-- What operators need: the plan that a sweep carried out, for the audit.
ALTER TABLE sweeps ADD COLUMN plan_id TEXT;
INSERT INTO stale_drafts_schema (version) VALUES (2);
