-- Histograms: how long creations wait for a worker, and how long workers take.
INSERT INTO stale_drafts_schema (version) VALUES (9);

-- Since the beginning, whatever is trimmed or archived, so that a scrape never sees a count go down. A row for each kind and outcome:
-- each start and each end writes one row more. What sweeps end is in `stale_drafts_rollups`. `band_0` to `band_11` count those of up to 1 s,
-- 5, 15, 30, 1 min, 2, 5, 15, 30, 1 h, 6, and more: `store::DURATION_BANDS_MS`.
CREATE TABLE stale_drafts_durations (
  measure   TEXT    NOT NULL CHECK (measure = 'wait' OR measure = 'processing'),
  kind      TEXT    NOT NULL,
  outcome   TEXT    NOT NULL CHECK (outcome = 'started' OR outcome = 'completed' OR outcome = 'failed' OR outcome = 'cancelled'),
  creations INTEGER NOT NULL,
  total_ms  INTEGER NOT NULL,
  band_0    INTEGER NOT NULL,
  band_1    INTEGER NOT NULL,
  band_2    INTEGER NOT NULL,
  band_3    INTEGER NOT NULL,
  band_4    INTEGER NOT NULL,
  band_5    INTEGER NOT NULL,
  band_6    INTEGER NOT NULL,
  band_7    INTEGER NOT NULL,
  band_8    INTEGER NOT NULL,
  band_9    INTEGER NOT NULL,
  band_10   INTEGER NOT NULL,
  band_11   INTEGER NOT NULL,
  PRIMARY KEY (measure, kind, outcome)
) WITHOUT ROWID;

-- From being asked for, or put back for another attempt, to the start. Clocks differ by a little: nothing takes less than no time. What
-- seems to take more than a year, or has a time that can't be read, is somebody's mistake, and is not counted.
CREATE TRIGGER stale_drafts_creations_wait_is_counted AFTER UPDATE OF status ON stale_drafts_creations
WHEN OLD.status = 'pending' AND NEW.status = 'processing'
  AND typeof(NEW.started_at) = 'integer' AND NEW.started_at BETWEEN 1000000000000 AND 8640000000000000
  AND typeof(ifnull(NEW.queued_at, NEW.created_at)) = 'integer' AND ifnull(NEW.queued_at, NEW.created_at) BETWEEN 1000000000000 AND 8640000000000000
  AND NEW.started_at - ifnull(NEW.queued_at, NEW.created_at) <= 31536000000 BEGIN
  INSERT INTO stale_drafts_durations
  SELECT 'wait', NEW.kind, 'started', 1, ms,
    ms <= 1000, ms > 1000 AND ms <= 5000, ms > 5000 AND ms <= 15000, ms > 15000 AND ms <= 30000,
    ms > 30000 AND ms <= 60000, ms > 60000 AND ms <= 120000, ms > 120000 AND ms <= 300000, ms > 300000 AND ms <= 900000,
    ms > 900000 AND ms <= 1800000, ms > 1800000 AND ms <= 3600000, ms > 3600000 AND ms <= 21600000, ms > 21600000
  FROM (SELECT max(0, NEW.started_at - ifnull(NEW.queued_at, NEW.created_at)) AS ms) WHERE true
  ON CONFLICT DO UPDATE SET creations = creations + 1, total_ms = total_ms + excluded.total_ms,
    band_0 = band_0 + excluded.band_0, band_1 = band_1 + excluded.band_1, band_2 = band_2 + excluded.band_2, band_3 = band_3 + excluded.band_3,
    band_4 = band_4 + excluded.band_4, band_5 = band_5 + excluded.band_5, band_6 = band_6 + excluded.band_6, band_7 = band_7 + excluded.band_7,
    band_8 = band_8 + excluded.band_8, band_9 = band_9 + excluded.band_9, band_10 = band_10 + excluded.band_10, band_11 = band_11 + excluded.band_11;
END;

-- From the start to what the worker reported. A sweep's failures are not among them: how long these took is the limit, and a count
-- for each would be a row more for each.
CREATE TRIGGER stale_drafts_creations_processing_is_counted AFTER UPDATE OF status ON stale_drafts_creations
WHEN OLD.status = 'processing' AND (NEW.status = 'draft' OR NEW.status = 'failed') AND NEW.sweep_id IS NULL
  AND typeof(NEW.started_at) = 'integer' AND NEW.started_at BETWEEN 1000000000000 AND 8640000000000000
  AND typeof(NEW.finished_at) = 'integer' AND NEW.finished_at BETWEEN 1000000000000 AND 8640000000000000
  AND NEW.finished_at - NEW.started_at <= 31536000000 BEGIN
  INSERT INTO stale_drafts_durations
  SELECT 'processing', NEW.kind, CASE WHEN NEW.status = 'draft' THEN 'completed' WHEN NEW.error_code = 'cancelled' THEN 'cancelled' ELSE 'failed' END, 1, ms,
    ms <= 1000, ms > 1000 AND ms <= 5000, ms > 5000 AND ms <= 15000, ms > 15000 AND ms <= 30000,
    ms > 30000 AND ms <= 60000, ms > 60000 AND ms <= 120000, ms > 120000 AND ms <= 300000, ms > 300000 AND ms <= 900000,
    ms > 900000 AND ms <= 1800000, ms > 1800000 AND ms <= 3600000, ms > 3600000 AND ms <= 21600000, ms > 21600000
  FROM (SELECT max(0, NEW.finished_at - NEW.started_at) AS ms) WHERE true
  ON CONFLICT DO UPDATE SET creations = creations + 1, total_ms = total_ms + excluded.total_ms,
    band_0 = band_0 + excluded.band_0, band_1 = band_1 + excluded.band_1, band_2 = band_2 + excluded.band_2, band_3 = band_3 + excluded.band_3,
    band_4 = band_4 + excluded.band_4, band_5 = band_5 + excluded.band_5, band_6 = band_6 + excluded.band_6, band_7 = band_7 + excluded.band_7,
    band_8 = band_8 + excluded.band_8, band_9 = band_9 + excluded.band_9, band_10 = band_10 + excluded.band_10, band_11 = band_11 + excluded.band_11;
END;
