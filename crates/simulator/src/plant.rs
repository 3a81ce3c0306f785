//! Planted bugs: the simulator is only worth something if it finds them.

use clap::ValueEnum;
use stale_drafts::rules::{Report, Timestamp};
use stale_drafts::store::{self, Details, PageSize, Stage, Statement, SweepTotals};

use crate::sql;

/// A bug, made by changing the text of statements and migrations on their way to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Plant {
    /// A sweep's writes are keyed on the id alone, and no trigger guards the status machine.
    NoStatusGuard,
    /// A refund is written into the ledger after the transaction that failed the creation.
    LedgerInSecondTransaction,
    /// Heartbeats and results are taken without their fence.
    NoFence,
    /// A sweep judges by another reading of the clock than the one it was given.
    WorkerClock,
    /// The ledger's key of a refund holds the sweep's id, and nothing else stops a second one.
    RefundKeyedOnTheSweep,
    /// A creation without a heartbeat has no last sign of life.
    NullHeartbeatEscapes,
    /// A restore does not charge again.
    RestoreWithoutCharge,
    /// A sweep's writes repeat status and attempt, and not the last sign of life.
    NoSignOfLifeGuard,
    /// A sweep counts what it planned, and not what it did.
    CountsThePlan,
    /// A result that comes too late overwrites the failure.
    LateResultWins,
    /// A sweep's writes do not repeat what the creation was at: a real bug, which the simulator found.
    NoPhaseGuard,
    /// A sweep's writes do not repeat the kind of a creation.
    NoKindGuard,
    /// What the database rejects is not set aside: it keeps the others from their turn.
    NeverSetAside,
    /// The query of a sweep leaves out creations whose worker sends heartbeats.
    HeartbeatingNeverFound,
    /// The database takes a time in seconds for a time.
    SecondsAreTimes,
    /// The trigger that ignores an app's late update of an attached row is off.
    LateWriteWins,
    /// The same for an `INSERT OR REPLACE`.
    LateReplaceWins,
    /// What an app fails by itself is paid into its balance too.
    EveryFailurePays,
    /// A refund into a balance that is not there is lost.
    RefundToNobody,
    /// A time-out is written back whatever the status of the app's row is.
    WriteBackUnguarded,
    /// An `INSERT OR REPLACE` of a row that is over is not followed.
    ReplaceNotMirrored,
    /// A retry is not written back into the app's row.
    RetryNotWrittenBack,
    /// A restore does not charge the app's balance again.
    RestoreForFree,
    /// A row with the id of a deleted one is not watched.
    ReusedIdForgotten,
    /// A sweep's writes do not repeat the price, which an app may change: a real bug, which the races found.
    NoPriceGuard,
    /// The copy of a move loses entries of the ledger, which its verification finds.
    CopyLosesEntries,
    /// The same, and nothing is verified.
    MoveWithoutVerifying,
    /// The copy goes on after the last moment of a page, and not after its last row: the verification does so too.
    CopySkipsRows,
    /// The source of a move is trimmed as soon as it is verified.
    TrimTooEarly,
    /// A database takes new rows of a bucket that moves, or has moved away.
    NoBucketGate,
    /// A database takes new rows of every bucket that no move is about: nothing is on record.
    NoRecord,
    /// What is written of a user who moves goes through, if it is an update of a creation.
    NoUserFence,
    /// Sweeps decide on users as soon as they have arrived.
    NoGrace,
    /// Sweeps decide on users while they move.
    SweepsOfMovers,
    /// A retry by hand charges nobody.
    RetryWithoutCharge,
    /// A retry by hand does not look at the attempt that it is about: sent twice, it may be two.
    RetryOfAnyAttempt,
    /// The refund of a second charge has the key of the first one's.
    RetryReusesTheKey,
    /// What has failed again is refunded all that it was ever charged.
    RetryRefundsTwice,
    /// A cancellation gives back what the policy keeps.
    CancelRefundsKept,
    /// What was not used of a result goes back as it is finished, and again as it is published.
    PartialRefundTwice,
    /// A restore takes all of the charge, though a part of it had not gone back.
    RestoreChargesAll,
    /// A sweep knows nothing of more time.
    MoreTimeIgnored,
    /// A sweep's writes do not repeat how much more time a creation has.
    NoMoreTimeGuard,
    /// What is active of an owner is counted before another one is made, in a transaction of its own.
    ActiveCountedBefore,
    /// What a provider says is written down, whatever has become of the creation since it was asked.
    AnswerUnguarded,
    /// A retry of many does not look at the attempt that was previewed.
    BulkOfAnyAttempt,
    /// A retry of many does not look at balances.
    BulkBeyondTheBalance,
    /// A retry of many does not look at what a balance has to cover before.
    BulkOutOfOrder,
    /// What an operator fails by hand is not refunded.
    FailNowKeepsTheCharge,
    /// An operator who fails something by hand does not look at the attempt: sent late, it fails the next one.
    FailNowOfAnyAttempt,
}

type Edits = &'static [(&'static str, &'static str)];

const NO_GUARD: Edits = &[
    ("\n         AND +c.status = j.value ->> 'status'", ""),
    ("\n         AND +c.attempt = j.value ->> 'attempt'", ""),
    ("\n         AND +c.last_sign_of_life = j.value ->> 'last_sign_of_life'", ""),
    ("\n         AND +c.phase = j.value ->> 'phase'", ""),
    ("\n         AND +c.processing_since IS j.value ->> 'processing_since'", ""),
    ("\n         AND +c.kind = j.value ->> 'kind'", ""),
    ("\n         AND +c.tokens = j.value ->> 'tokens'", ""),
];
const NO_MORE_TIME: (&str, &str) = ("\n         AND +c.extended_until IS j.value ->> 'extended_until'", "");
/// What the two statements about a provider's answer repeat.
const ASKED: &str = "c.id = j.value ->> 'id'
         AND +c.status = j.value ->> 'status'
         AND +c.attempt = j.value ->> 'attempt'
         AND +c.last_sign_of_life = j.value ->> 'last_sign_of_life'
         AND +c.phase = j.value ->> 'phase'
         AND +c.processing_since IS j.value ->> 'processing_since'
         AND +c.extended_until IS j.value ->> 'extended_until'
         AND +c.kind = j.value ->> 'kind'
         AND +c.tokens = j.value ->> 'tokens'
         AND NOT EXISTS (SELECT 1 FROM stale_drafts_moving_users WHERE user_id = c.user_id) AND +c.status = 'processing'
     RETURNING id";
const LOSES: (&str, &str) = (
    "AND NOT EXISTS (SELECT 1 FROM stale_drafts_ledger WHERE entry_key = v ->> 0)",
    "AND NOT EXISTS (SELECT 1 FROM stale_drafts_ledger WHERE entry_key = v ->> 0) AND v ->> 2 <> 'refund'",
);
const NO_MACHINE: (&str, &str) = (
    "AFTER UPDATE OF status ON stale_drafts_creations\nWHEN NEW.status <> OLD.status AND NOT (",
    "AFTER UPDATE OF status ON stale_drafts_creations\nWHEN false AND NOT (",
);

impl Plant {
    /// What is changed in the migrations, and by what.
    fn in_migrations(self) -> Edits {
        match self {
            Plant::NoStatusGuard | Plant::LateResultWins => &[NO_MACHINE],
            Plant::LedgerInSecondTransaction => &[(
                "WHEN NEW.status = 'failed' AND OLD.status <> 'failed' AND NEW.tokens > ifnull(NEW.tokens_used, 0) AND NEW.balance_elsewhere = 0 BEGIN",
                "WHEN false BEGIN",
            )],
            Plant::RefundKeyedOnTheSweep => &[
                ("CHECK (type = 'grant' OR type = 'carry' OR entry_key = type || ':' || creation_id", "CHECK (true"),
                ("WHEN NEW.type = 'charge' OR settled_elsewhere = 1 THEN tokens", "WHEN true THEN tokens"),
                ("AND NEW.entry_key = iif(charge = 1, 'refund:', 'refund' || charge || ':') || id\n", "\n"),
                (
                    "WHEN NEW.status = 'failed' AND OLD.status <> 'failed' AND",
                    "WHEN NEW.status = 'failed' AND",
                ),
                (
                    "VALUES (iif(NEW.charge = 1, 'refund:', 'refund' || NEW.charge || ':') || NEW.id, NEW.user_id, 'refund', NEW.id, NEW.sweep_id,",
                    "VALUES ('refund:' || NEW.id || ':' || ifnull(NEW.sweep_id, ''), NEW.user_id, 'refund', NEW.id, NEW.sweep_id,",
                ),
            ],
            Plant::NullHeartbeatEscapes => &[
                ("coalesce(heartbeat_at, created_at, queued_at)", "heartbeat_at"),
                ("coalesce(heartbeat_at, created_at, started_at)", "heartbeat_at"),
            ],
            Plant::RestoreWithoutCharge => &[(
                "WHEN OLD.status = 'failed' AND NEW.status = 'draft' AND NEW.restored_at IS NOT NULL",
                "WHEN false",
            )],
            Plant::TrimTooEarly => &[(
                "CREATE VIEW stale_drafts_held (user_id) AS",
                "CREATE TRIGGER planted AFTER UPDATE OF state ON stale_drafts_moves WHEN NEW.state = 'verified' BEGIN
                   UPDATE stale_drafts_moves SET writing = 1 WHERE id = NEW.id;
                   DELETE FROM stale_drafts_ledger WHERE user_id IN (SELECT user_id FROM stale_drafts_moving_users WHERE move_id = NEW.id);
                   UPDATE stale_drafts_moves SET writing = 0 WHERE id = NEW.id;
                 END;
                 CREATE VIEW stale_drafts_held (user_id) AS",
            )],
            // Where a move was cancelled, too.
            Plant::NoGrace => &[(
                "CREATE VIEW stale_drafts_held (user_id) AS",
                "CREATE TRIGGER planted AFTER UPDATE OF state ON stale_drafts_moves WHEN NEW.state = 'cancelled' BEGIN
                   DELETE FROM stale_drafts_moving_users WHERE move_id = NEW.id;
                 END;
                 CREATE VIEW stale_drafts_held (user_id) AS",
            )],
            Plant::NoBucketGate => &[(
                "ORDER BY first_bucket DESC LIMIT 1), '') <> 'here' BEGIN",
                "ORDER BY first_bucket DESC LIMIT 1), '') = 'nowhere' BEGIN",
            )],
            Plant::NoRecord => &[(
                "ORDER BY first_bucket DESC LIMIT 1), '') <> 'here' BEGIN",
                "ORDER BY first_bucket DESC LIMIT 1), '') <> 'here'
                  AND EXISTS (SELECT 1 FROM stale_drafts_moves WHERE NEW.bucket BETWEEN first_bucket AND last_bucket AND state <> 'cancelled') BEGIN",
            )],
            Plant::NoUserFence => &[(
                "AFTER UPDATE ON stale_drafts_creations\nWHEN EXISTS (SELECT 1 FROM stale_drafts_held WHERE user_id = OLD.user_id) BEGIN",
                "AFTER UPDATE ON stale_drafts_creations\nWHEN false BEGIN",
            )],
            Plant::RetryWithoutCharge => &[(
                "WHEN OLD.status = 'failed' AND NEW.status = 'pending' AND NEW.charge <> OLD.charge AND NEW.tokens > 0 BEGIN",
                "WHEN false BEGIN",
            )],
            Plant::RetryReusesTheKey => &[(
                "VALUES (iif(NEW.charge = 1, 'refund:', 'refund' || NEW.charge || ':') || NEW.id, NEW.user_id, 'refund', NEW.id, NEW.sweep_id,",
                "VALUES ('refund:' || NEW.id, NEW.user_id, 'refund', NEW.id, NEW.sweep_id,",
            )],
            Plant::RetryRefundsTwice => &[
                ("          NEW.tokens - ifnull(NEW.tokens_used, 0),\n", "          (NEW.tokens - ifnull(NEW.tokens_used, 0)) * NEW.charge,\n"),
                ("      AND tokens - ifnull(tokens_used, iif(status = 'failed', 0, tokens)) = NEW.tokens\n", ""),
            ],
            Plant::PartialRefundTwice => &[
                (
                    "WHEN NEW.status = 'draft' AND OLD.status = 'processing' AND NEW.tokens > NEW.tokens_used BEGIN",
                    "WHEN NEW.status IN ('draft', 'published') AND NEW.tokens > NEW.tokens_used BEGIN",
                ),
                (
                    "VALUES (iif(NEW.charge = 1, 'refund:', 'refund' || NEW.charge || ':') || NEW.id, NEW.user_id, 'refund', NEW.id,\n          NEW.tokens - NEW.tokens_used,",
                    "VALUES (iif(NEW.status = 'draft', iif(NEW.charge = 1, 'refund:', 'refund' || NEW.charge || ':'), 'refund9:') || NEW.id, NEW.user_id, 'refund', NEW.id,\n          NEW.tokens - NEW.tokens_used,",
                ),
                ("AND NEW.entry_key = iif(charge = 1, 'refund:', 'refund' || charge || ':') || id\n", "\n"),
            ],
            Plant::RestoreChargesAll => &[
                ("ifnull(OLD.tokens_used, 0) - NEW.tokens, NEW.restored_at);", "-NEW.tokens, NEW.restored_at);"),
                (
                    "CASE WHEN NEW.type = 'charge' OR settled_elsewhere = 1 THEN tokens",
                    "CASE WHEN true THEN tokens",
                ),
            ],
            Plant::SecondsAreTimes => &[("NOT BETWEEN 1000000000000 AND", "NOT BETWEEN 0 AND")],
            _ => &[],
        }
    }

    /// What is changed in what attaches a table.
    fn in_attach(self) -> Edits {
        match self {
            Plant::LateWriteWins => &[(
                "_late\" BEFORE UPDATE ON \"generations\"\nWHEN (",
                "_late\" BEFORE UPDATE ON \"generations\"\nWHEN false AND (",
            )],
            Plant::LateReplaceWins => &[(
                "_late_insert\" BEFORE INSERT ON \"generations\"\nWHEN EXISTS",
                "_late_insert\" BEFORE INSERT ON \"generations\"\nWHEN false AND EXISTS",
            )],
            Plant::EveryFailurePays => &[(
                "_refund\" AFTER UPDATE OF status ON stale_drafts_creations\n\
                 WHEN NEW.status = 'failed' AND OLD.status IN ('pending', 'processing') AND NEW.sweep_id IS NOT NULL",
                "_refund\" AFTER UPDATE OF status ON stale_drafts_creations\n\
                 WHEN NEW.status = 'failed' AND OLD.status IN ('pending', 'processing')",
            )],
            Plant::RefundToNobody => &[(
                "\n  WHERE changes() <> 1;\nEND;\n\n-- A sweep gives",
                "\n  WHERE false;\nEND;\n\n-- A sweep gives",
            )],
            Plant::WriteBackUnguarded => &[(
                "AND ifnull(\"state\" NOT IN ('queued', 'running'), 1);\n  UPDATE \"generations\" SET \"state\" = 'error'",
                "AND false;\n  UPDATE \"generations\" SET \"state\" = 'error'",
            )],
            Plant::ReplaceNotMirrored => &[(
                "WHEN NEW.\"state\" IN ('queued', 'running')\n  OR EXISTS (",
                "WHEN NEW.\"state\" IN ('queued', 'running')\n  OR false AND EXISTS (",
            )],
            Plant::RetryNotWrittenBack => &[(
                "WHEN NEW.attempt <> OLD.attempt AND substr(NEW.id, 1, 12) = 'generations:' BEGIN",
                "WHEN false BEGIN",
            )],
            Plant::RestoreForFree => {
                &[("SET \"credits\" = \"credits\" - NEW.tokens", "SET \"credits\" = \"credits\"")]
            }
            Plant::ReusedIdForgotten => {
                &[("WHEN 0 THEN NULL WHEN 1 THEN", "WHEN 0 THEN NULL WHEN 1 THEN NULL WHEN 2 THEN")]
            }
            _ => &[],
        }
    }

    /// What is changed in the statements.
    fn in_statements(self) -> Edits {
        match self {
            Plant::NoStatusGuard => NO_GUARD,
            // Only what has failed, and only where there is something to refund: what is to be found is the money.
            Plant::RefundKeyedOnTheSweep => &[
                (
                    "\n         AND +c.status = j.value ->> 'status'",
                    "\n         AND (c.status = 'failed' AND c.tokens > 0 OR +c.status = j.value ->> 'status')",
                ),
                ("\n         AND +c.attempt = j.value ->> 'attempt'", ""),
                ("\n         AND +c.last_sign_of_life = j.value ->> 'last_sign_of_life'", ""),
                ("\n         AND +c.phase = j.value ->> 'phase'", ""),
                ("\n         AND +c.processing_since IS j.value ->> 'processing_since'", ""),
                ("\n         AND +c.kind = j.value ->> 'kind'", ""),
            ],
            Plant::NoPhaseGuard => &[("\n         AND +c.phase = j.value ->> 'phase'", "")],
            Plant::NoKindGuard => &[("\n         AND +c.kind = j.value ->> 'kind'", "")],
            Plant::NoPriceGuard => &[("\n         AND +c.tokens = j.value ->> 'tokens'", "")],
            Plant::NeverSetAside => &[(
                "WHERE user_id = c.user_id)\n     ON CONFLICT (creation_id)",
                "WHERE user_id = c.user_id) AND false\n     ON CONFLICT (creation_id)",
            )],
            Plant::NoSignOfLifeGuard => {
                &[("\n         AND +c.last_sign_of_life = j.value ->> 'last_sign_of_life'", "")]
            }
            Plant::NoFence => &[(" AND status = 'processing' AND fence = ?3", " AND status = 'processing'")],
            Plant::CountsThePlan => &[("?5, changes(), CASE", "?5, ?7, CASE")],
            Plant::LateResultWins => &[(
                "result_url = ?4, tokens_used = ?5\n     WHERE id = ?1 AND status = 'processing' AND fence = ?3",
                "result_url = ?4, tokens_used = ?5\n     WHERE id = ?1 AND status IN ('processing', 'failed') AND fence = ?3",
            )],
            Plant::RetryOfAnyAttempt => {
                &[("id = ?1 AND status = 'failed' AND attempt = ?3 AND", "id = ?1 AND status = 'failed' AND")]
            }
            Plant::CancelRefundsKept => &[(" = 'keep', tokens, NULL)", " = 'keep', NULL, NULL)")],
            Plant::MoreTimeIgnored => &[
                (
                    "CASE typeof(extended_until) WHEN 'integer' THEN extended_until WHEN 'null' THEN NULL ELSE 'malformed' END",
                    "NULL",
                ),
                ("(c.extended_until IS NULL OR c.extended_until < ?7)", "true"),
                NO_MORE_TIME,
            ],
            Plant::NoMoreTimeGuard => &[NO_MORE_TIME],
            Plant::AnswerUnguarded => {
                &[(ASKED, "c.id = j.value ->> 'id' AND +c.status = 'processing'\n     RETURNING id")]
            }
            Plant::BulkOfAnyAttempt => &[(
                "c.id = j.value ->> 'id' AND +c.attempt = j.value ->> 'attempt'\n         AND (j.value",
                "c.id = j.value ->> 'id'\n         AND (j.value",
            )],
            Plant::BulkBeyondTheBalance => &[("WHERE due <= ifnull(balance, 0)", "WHERE true")],
            Plant::BulkOutOfOrder => &[(
                "sum(c.tokens) OVER (PARTITION BY c.user_id ORDER BY j.key ROWS UNBOUNDED PRECEDING) AS due",
                "c.tokens AS due",
            )],
            Plant::FailNowKeepsTheCharge => &[(
                "event = 'failed', event_destinations = ?5\n     WHERE id = ?1 AND attempt = ?6",
                "event = 'failed', event_destinations = ?5, tokens_used = tokens\n     WHERE id = ?1 AND attempt = ?6",
            )],
            Plant::FailNowOfAnyAttempt => {
                &[("WHERE id = ?1 AND attempt = ?6 AND status", "WHERE id = ?1 AND ?6 > 0 AND status")]
            }
            Plant::CopyLosesEntries => &[LOSES],
            Plant::MoveWithoutVerifying => &[
                LOSES,
                ("SET state = ?3, place = ''", "SET state = iif(?3 = 'copied', 'verified', ?3), place = ''"),
            ],
            Plant::CopySkipsRows => {
                &[("AND (c.listed_at, c.id) >= (?2 ->> 1, ?2 ->> 2)", "AND c.listed_at > ?2 ->> 1")]
            }
            Plant::SweepsOfMovers => {
                &[("NOT EXISTS (SELECT 1 FROM stale_drafts_moving_users WHERE user_id = c.user_id)", "true")]
            }
            Plant::HeartbeatingNeverFound => {
                &[("('pending'), ('processing'), ('heartbeating')", "('pending'), ('processing')")]
            }
            _ => &[],
        }
    }

    /// The text that attaches an app's table, with the bug in it.
    ///
    /// # Errors
    ///
    /// Says what is not there any more.
    pub fn attach(self, mut text: String) -> Result<String, String> {
        for (from, to) in self.in_attach() {
            if !text.contains(from) {
                return Err(format!(
                    "the plant {self:?} changes a text that is not there any more: `{from}`"
                ));
            }
            text = text.replace(from, to);
        }
        Ok(text)
    }

    /// What is written in a transaction of its own after each one.
    pub fn afterwards(self) -> Option<&'static str> {
        (self == Plant::LedgerInSecondTransaction).then_some(sql::REFUND_AFTERWARDS)
    }

    /// Whether a move leaves workers no time to report again.
    pub fn settles_at_once(self) -> bool {
        self == Plant::NoGrace
    }

    /// Whether a sweep judges by another clock.
    pub fn reads_another_clock(self) -> bool {
        self == Plant::WorkerClock
    }

    /// The text of a statement with the bug in it.
    pub fn statement(self, text: &str) -> String {
        self.in_statements().iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// The text of the migrations with the bug in it.
    ///
    /// # Errors
    ///
    /// Says what is not there any more: a bug that is not planted would be found by nobody.
    pub fn migrations(self, mut text: String) -> Result<String, String> {
        let missing =
            |from: &str| format!("the plant {self:?} changes a text that is not there any more: `{from}`");
        for (from, to) in self.in_migrations() {
            if !text.contains(from) {
                return Err(missing(from));
            }
            text = text.replace(from, to);
        }
        let statements = samples();
        match self
            .in_statements()
            .iter()
            .find(|(from, _)| !statements.iter().any(|statement| statement.sql.contains(from)))
        {
            Some((from, _)) => Err(missing(from)),
            None => Ok(text),
        }
    }
}

/// The statements that plants change.
fn samples() -> Vec<Statement> {
    let now = Timestamp::MAX;
    let policy = stale_drafts::rules::Policy::default();
    let details = Details::default();
    let window = store::Window { limit: 1, unreadable: 1 };
    let breaker = stale_drafts::rules::CircuitBreaker::default();
    let start = store::SweepStart { sweep_id: "s", source: "cron", actor: None, plan_id: None, now };
    let mut list = vec![store::stale(&policy, store::Filter::default(), now, window, breaker)];
    let count =
        store::Count { totals: SweepTotals::default(), before: 0, last: false, counted: String::new() };
    list.extend(store::mark_failed(start, &[], count.clone(), 0));
    list.extend(store::retry(start, &[], count, 0));
    list.push(store::set_aside(&[], now, 0));
    list.extend(store::put("m", Stage::Ledger, ""));
    let page = PageSize { rows: 1, bytes: 1, slice: 1 };
    list.push(store::page_of_move("m", Stage::Creations, "", None, page));
    list.push(store::turn_move("m", "", "", None, now));
    list.extend(store::report("c", &Report::Heartbeat { fence: "" }, &details, now));
    list.extend(store::report(
        "c",
        &Report::Complete { fence: "", result_url: "", tokens_used: None },
        &details,
        now,
    ));
    list.extend(store::report("c", &Report::Retry { attempt: 1 }, &details, now));
    list.extend(store::report("c", &Report::Cancel { attempt: None, policy: &policy }, &details, now));
    list.extend(store::report("c", &Report::FailNow { attempt: 1 }, &details, now));
    list.extend(store::told(&[], &[], now));
    list.extend(store::retry_many(&[], store::RetryAudit { id: "a", actor: "", reason: "" }, 0, now));
    list
}
