-- What operators did to one creation or one sweep, and what they noted about it.
INSERT INTO stale_drafts_schema (version) VALUES (10);

-- `creation:<id>` or `sweep:<id>`; NULL for what concerns all.
ALTER TABLE stale_drafts_audit ADD COLUMN subject TEXT CHECK (subject IS NULL OR typeof(subject) = 'text' AND subject GLOB '[cs]*:?*');
CREATE INDEX stale_drafts_audit_of_subject ON stale_drafts_audit (subject, id) WHERE subject IS NOT NULL;
-- What is about a creation goes with its owner to another shard, so nothing comes in on the way.
CREATE TRIGGER stale_drafts_audit_insert_moving BEFORE INSERT ON stale_drafts_audit
WHEN NEW.subject GLOB 'creation:*' AND EXISTS (SELECT 1 FROM stale_drafts_creations AS c CROSS JOIN stale_drafts_held AS h ON h.user_id = c.user_id
  WHERE c.id = substr(NEW.subject, 10)) BEGIN
  SELECT RAISE(ABORT, 'moving: the user is on the way to another shard: try again');
END;
