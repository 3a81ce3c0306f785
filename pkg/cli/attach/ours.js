// The triggers on our tables: what a sweep or an operator decides, written into the app's tables in the same transaction.

import { list, name, prefix, text, word as literal } from "./names.js";
import { fromMillis } from "./values.js";
import { appId, isMirror } from "./view.js";
import { bind } from "./statement.js";

export function ourTriggers(m) {
  const table = name(m.table);
  const trigger = (what) => name(`${prefix(m.table)}_${what}`);
  const active = list([...(m.status.pending ?? []), ...(m.status.processing ?? [])]);
  const here = `${name(m.id.column)} = ${appId(m, "NEW.id")}`;
  const exists = `EXISTS (SELECT 1 FROM ${table} WHERE ${here})`;
  const word = name(m.status.column);
  const set = (...assignments) => assignments.filter(([entry]) => entry).map(([entry, value]) => `${name(entry.column)} = ${value}`).join(", ");
  const finished = m.finished_at && fromMillis("NEW.finished_at", m.finished_at.unit);
  const abort = (message) => `RAISE(ABORT, ${text(message)})`;
  const triggers = [];

  const timedOut = `NEW.status = 'failed' AND OLD.status IN ('pending', 'processing') AND NEW.sweep_id IS NOT NULL
  AND ${isMirror(m, "NEW.id")}`;
  triggers.push(`-- A sweep has failed it: so does the app's row, in the same transaction. A row with a word that the mapping does not know is left
-- alone: the sweep sets it aside and shows it with this text.
CREATE TRIGGER ${trigger("time_out")} AFTER UPDATE OF status ON stale_drafts_creations
WHEN ${timedOut} BEGIN
  SELECT ${abort(`the row of ${m.table} has a status that its mapping does not count as active: expected one of ${active.slice(1, -1)}`)}
  FROM ${table} WHERE ${here} AND ifnull(${word} NOT IN ${active}, 1);
  UPDATE ${table} SET ${set([m.status, literal(m.status.timed_out)], [m.error, "NEW.error"], [m.finished_at, finished])} WHERE ${here};
END;`);

  if (m.refund) {
    const pays = `  ${bind(m.refund.sql ?? columnRefund(m, "+"), m)};
  SELECT ${abort(m.refund.sql ? `the refund statement of ${m.table} has changed no row` : `there is no row of ${m.refund.table} to refund, or there are several`)}
  WHERE changes() ${m.refund.sql ? "= 0" : "<> 1"};`;
    triggers.push(`-- And what it cost goes back into the app's balance. It is there once: a creation fails once, and its row in the ledger is unique.
CREATE TRIGGER ${trigger("refund")} AFTER UPDATE OF status ON stale_drafts_creations
WHEN ${timedOut}
  AND NEW.tokens > 0 AND ${exists} BEGIN
${pays}
END;`);
    if (m.refund_failures) {
      triggers.push(`-- What the app itself fails is refunded too, for the app does not.
CREATE TRIGGER ${trigger("refund_failure")} AFTER UPDATE OF status ON stale_drafts_creations
WHEN NEW.status = 'failed' AND OLD.status IN ('pending', 'processing') AND NEW.error_code = 'app_failed' AND NEW.sweep_id IS NULL
  AND ${isMirror(m, "NEW.id")}
  AND NEW.tokens > 0 BEGIN
${pays}
END;`);
    }
  }

  if (m.status.pending?.length > 0) {
    triggers.push(`-- A sweep gives it another attempt: the app's row is queued again.
CREATE TRIGGER ${trigger("retry")} AFTER UPDATE OF attempt ON stale_drafts_creations
WHEN NEW.attempt <> OLD.attempt AND ${isMirror(m, "NEW.id")} BEGIN
  SELECT ${abort(`the row of ${m.table} has a status that its mapping does not count as active: expected one of ${active.slice(1, -1)}`)}
  FROM ${table} WHERE ${here} AND ifnull(${word} NOT IN ${active}, 1);
  UPDATE ${table} SET ${set([m.status, literal(m.status.pending[0])], [m.started_at?.required ? null : m.started_at, "NULL"])} WHERE ${here};
END;`);
  } else {
    triggers.push(`-- The app has no word for queued, so nothing can be tried again.
CREATE TRIGGER ${trigger("retry")} AFTER UPDATE OF attempt ON stale_drafts_creations
WHEN NEW.attempt <> OLD.attempt AND ${isMirror(m, "NEW.id")} BEGIN
  SELECT ${abort(`the table ${m.table} has no status for a further attempt: expected attempts = 1 for its kinds`)};
END;`);
  }

  const restored = `OLD.status = 'failed' AND NEW.status = 'draft' AND NEW.restored_at IS NOT NULL
  AND ${isMirror(m, "NEW.id")}`;
  const result = m.result_url && [m.result_url, `iif(NEW.result_url = 'app:late', ${name(m.result_url.column)}, NEW.result_url)`];
  triggers.push(`-- An operator has restored a late result: the app's row is done after all.
CREATE TRIGGER ${trigger("restore")} AFTER UPDATE OF status ON stale_drafts_creations
WHEN ${restored} BEGIN
  UPDATE ${table} SET ${set([m.status, literal([...(m.status.draft ?? []), ...(m.status.published ?? [])][0])], [m.error, m.error?.required ? "''" : "NULL"], [m.finished_at, finished], ...(result ? [result] : []))}
  WHERE ${here} AND ${word} = ${literal(m.status.timed_out)};
END;`);
  if (m.refund) {
    const charges = m.refund.sql
      ? m.refund.charge_sql
        ? `  ${bind(m.refund.charge_sql, m)};
  SELECT ${abort("insufficient tokens: the app's balance does not cover the charge")} WHERE changes() = 0;`
        : `  SELECT ${abort(`nothing says how ${m.table} charges again for a restored result: expected attach with --charge-sql`)};`
      : `  ${bind(`${columnRefund(m, "-")} AND ${name(m.refund.column)} >= :tokens`, m)};
  SELECT ${abort("insufficient tokens: the app's balance does not cover the charge")} WHERE changes() <> 1;`;
    triggers.push(`-- And it is charged again, if the app's balance covers it; else nothing is restored.
CREATE TRIGGER ${trigger("charge_again")} AFTER UPDATE OF status ON stale_drafts_creations
WHEN ${restored}
  AND NEW.tokens > 0 BEGIN
${charges}
END;`);
  }
  if (m.status.published?.length > 0 && m.status.draft?.length > 0) {
    triggers.push(`-- Its owner has published it on our page.
CREATE TRIGGER ${trigger("publish")} AFTER UPDATE OF status ON stale_drafts_creations
WHEN OLD.status = 'draft' AND NEW.status = 'published' AND ${isMirror(m, "NEW.id")} BEGIN
  UPDATE ${table} SET ${word} = ${literal(m.status.published[0])} WHERE ${here} AND ${word} IN ${list(m.status.draft)};
END;`);
  }
  return triggers;
}

const columnRefund = ({ refund }, sign) => `UPDATE ${name(refund.table)} SET ${name(refund.column)} = ${name(refund.column)} ${sign} :tokens WHERE ${name(refund.key)} = :user_id`;
