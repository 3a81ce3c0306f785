//! The database of one user, of one or of several.

use std::cell::Cell;

use worker::console_error;

use super::app::Context;
use super::log;
use crate::rules::Bucket;
use crate::service::placement;
use crate::store::{self, Cost, D1, Database, DatabaseError, Row, Statement};

/// So long an isolate waits before it tries again to write down who has which users.
const AGAIN_AFTER_MS: u64 = 10_000;
/// How long an isolate trusts what it has seen of the only database: one of an older deployment lives on while buckets begin to move.
const LOOKS_AGAIN_AFTER_MS: u64 = 60_000;

thread_local! {
    /// When this isolate last tried.
    static TRIED: Cell<u64> = const { Cell::new(0) };
    /// When this isolate last looked whether the only database was one of several, and whether it was.
    static LOOKED: Cell<(u64, bool)> = const { Cell::new((0, false)) };
}

/// Whether a database may lack users: it is one of several, or it is the only one by a configuration that has lost the others, and has given
/// buckets away.
pub(super) async fn may_lack_users(context: &Context) -> Result<bool, DatabaseError> {
    let shards = context.shards();
    let [only] = shards.as_slice() else { return Ok(true) };
    let (looked_at, gave) = LOOKED.get();
    let now = context.now.as_millis();
    if looked_at.abs_diff(now) < LOOKS_AGAIN_AFTER_MS {
        return Ok(gave);
    }
    match only.database.run(&[store::gave_away()]).await {
        Ok(results) => {
            let gave = results.first().is_some_and(|rows| !rows.is_empty());
            LOOKED.set((now, gave));
            Ok(gave)
        }
        // Older than shards.
        Err(error) if error.is_of_schema() => Ok(false),
        Err(error) => Err(error),
    }
}

/// A [`store::OfUser`] that asks of the only database, too, if that has given buckets away; and that writes down what is not on record, as cron does, and tries once more: nobody has to wait for the first cron
/// after several databases were configured.
pub(super) struct OfUser<'a> {
    context: &'a Context,
    database: &'a D1,
    bucket: Bucket,
}

impl<'a> OfUser<'a> {
    pub(super) const fn new(context: &'a Context, database: &'a D1, bucket: Bucket) -> Self {
        OfUser { context, database, bucket }
    }

    /// Whether it is on record now.
    async fn record(&self) -> bool {
        let now = self.context.now.as_millis();
        if TRIED.replace(now).abs_diff(now) < AGAIN_AFTER_MS {
            return false;
        }
        let recorded = placement::record(&self.context.shards(), &self.context.config.shards).await;
        if let Err(error) = &recorded {
            console_error!("{}", log::failed_read(&error.to_string()));
        }
        recorded.is_ok()
    }
}

impl Database for OfUser<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let writes = batch.iter().any(|statement| !statement.only_reads());
        let asks = writes && may_lack_users(self.context).await?;
        let database = store::OfUser::new(self.database, asks.then_some(self.bucket));
        match database.run(batch).await {
            Err(error) if error.is_unrecorded() && self.record().await => database.run(batch).await,
            result => result,
        }
    }

    fn cost(&self) -> Cost {
        self.database.cost()
    }
}
