-- What operators did to one creation or one sweep, and what they noted about it.
INSERT INTO stale_drafts_schema (version) VALUES (10);

-- `creation:<id>` or `sweep:<id>`; NULL for what concerns all.
ALTER TABLE stale_drafts_audit ADD COLUMN subject TEXT CHECK (subject IS NULL OR typeof(subject) = 'text' AND subject GLOB '[cs]*:?*');
CREATE INDEX stale_drafts_audit_of_subject ON stale_drafts_audit (subject, id) WHERE subject IS NOT NULL;
