//! The sweep of the cron trigger: of all databases, in this invocation, or by messages of a queue.

use serde_json::{Value, json};
use worker::console_error;

use super::app::Context;
use super::sweeping::{self, Stopped, SweepOptions};
use super::{courier, log};
use crate::config::QUERIES_OF_A_SHARD;
use crate::read;
use crate::rules::Suspension;
use crate::service::shards::{Shard, ShardOutcome, run_each};
use crate::service::sweep::Source;
use crate::service::together::{Numbers, look};
use crate::store::{self, D1};

/// The queue whose messages are each a database to sweep.
const SWEEPS: &str = "SWEEPS";

/// The most queries of a sweep that has to split nothing, beside those of the monitor.
const QUERIES_OF_A_SWEEP: usize = 6;

/// Sweeps everybody's creations. A sweep that the circuit breaker suspended is an error of the invocation too.
///
/// Several databases are swept side by side, as many as one invocation may. If they are more, each is handed over to the queue, and so is
/// one that failed; without a queue they take turns, and the next cron tries again. The circuit breaker judges all of them together
/// wherever they are swept. Whether all of them were swept here.
pub(super) async fn sweep(context: &Context) -> Result<bool, String> {
    let shards = context.shards();
    let each = QUERIES_OF_A_SWEEP.saturating_add(QUERIES_OF_A_SHARD);
    let at_once = (context.config.queries_per_run as usize).checked_div(each).unwrap_or(1).max(1);
    if shards.len() <= at_once {
        return here(context, None, Numbers::default()).await;
    }
    let options = SweepOptions::new(context, Source::Cron);
    let request = sweeping::request(context, options, "", shards.len());
    if has_queue(context) {
        let numbers = look(&shards, request, 1).await.unwrap_or_default();
        let names = shards.iter().map(|shard| shard.name).enumerate();
        hand_over(context, names.map(|(at, name)| (name, Numbers::of_others(&numbers, at)))).await?;
        return Ok(false);
    }
    let minute = usize::try_from(context.now.as_millis() / 60_000).unwrap_or(0);
    let first = minute.wrapping_mul(at_once).checked_rem(shards.len()).unwrap_or(0);
    let turn: Vec<_> = (0..shards.len()).cycle().skip(first).take(at_once).collect();
    let rest: Vec<_> =
        shards.iter().enumerate().filter(|(at, _)| !turn.contains(at)).map(|(_, shard)| *shard).collect();
    let numbers = look(&rest, request, turn.len()).await.unwrap_or_default();
    here(context, Some(&turn), Numbers::sum(&numbers)).await.map(|_| false)
}

/// Sweeps one of several databases, as a message of the queue says. An error has the queue deliver the message again.
pub(super) async fn by_message(context: &Context, message: &str) -> Result<(), String> {
    let shards = context.shards();
    let unknown = |what: String| {
        // Repeating the message is of no use.
        console_error!("{}", log::failed_sweep("", Source::Cron, &what));
        Ok(())
    };
    let message = read::any_json(message).unwrap_or_default();
    let Some(name) = message.get("shard").and_then(Value::as_str) else {
        return unknown(String::from("a message names no shard"));
    };
    // One of an older version says nothing of the others.
    let of_others = |key: &str| message.get("others")?.get(key)?.as_u64();
    let number = |key: &str| of_others(key).unwrap_or_default();
    let others = Numbers { stale: number("stale"), active: number("active") };
    let Some(at) = shards.iter().position(|shard| shard.name == name) else {
        // It was removed from the configuration meanwhile.
        return unknown(format!("there is no shard `{name}`"));
    };
    let options = SweepOptions { only: Some(&[at]), others, ..SweepOptions::new(context, Source::Cron) };
    let (_, outcome) = sweeping::run(context, options).await.map_err(|Stopped(error)| error.to_string())?;
    if outcome.suspended.is_some() {
        return Ok(());
    }
    let swept: Vec<_> = shards.get(at).copied().into_iter().collect();
    close_breaker(&swept).await
}

/// Sweeps in this invocation, all or some. Whether that did not need the queue.
async fn here(context: &Context, only: Option<&[usize]>, others: Numbers) -> Result<bool, String> {
    let options = SweepOptions { only, others, ..SweepOptions::new(context, Source::Cron) };
    let swept = sweeping::run(context, options).await;
    let (sweep_id, outcome) = swept.map_err(|Stopped(error)| error.to_string())?;
    let failed: Vec<_> = outcome.shards.iter().filter(|shard| shard.error.is_some()).collect();
    for ShardOutcome { shard, error, .. } in &failed {
        let error = format!("`{shard}`: {}", error.as_deref().unwrap_or_default());
        console_error!("{}", log::failed_sweep(&sweep_id, Source::Cron, &error));
    }
    let breaker = match outcome.suspended {
        Some(suspended @ Suspension::BreakerOpen { .. }) => Some(suspended.to_string()),
        _ => None,
    };
    if only.is_some() || breaker.is_some() || !failed.is_empty() {
        // Then the monitor closes no circuit breaker, as it does where all is well. One that is dead or suspended says nothing of the others.
        let good = |name: &str| {
            let own = outcome.shards.iter().find(|shard| shard.shard == name);
            own.is_some_and(|own| own.error.is_none() && own.suspended.is_none())
        };
        let good: Vec<_> = context.shards().into_iter().filter(|shard| good(shard.name)).collect();
        if let Err(error) = close_breaker(&good).await {
            console_error!("{}", log::failed_read(&error));
        }
    }
    if !failed.is_empty() {
        let names: Vec<_> = failed.iter().map(|shard| shard.shard.as_str()).collect();
        if !has_queue(context) {
            return Err(format!("these databases were not swept: {}", names.join(", ")));
        }
        hand_over(
            context,
            failed.iter().map(|shard| (shard.shard.as_str(), shard.others.unwrap_or_default())),
        )
        .await?;
    }
    match breaker {
        Some(error) => {
            console_error!("{}", log::failed_sweep(&sweep_id, Source::Cron, &error));
            Err(error)
        }
        None => Ok(failed.is_empty()),
    }
}

/// Closes the circuit breaker where a sweep has not needed it: where nothing is stale, it does not ask what suspends it.
async fn close_breaker(shards: &[Shard<'_, D1>]) -> Result<(), String> {
    let closed = run_each(shards, &[store::close_breaker()]).await.into_iter();
    closed.collect::<Result<Vec<_>, _>>().map(drop).map_err(|error| error.to_string())
}

fn has_queue(context: &Context) -> bool {
    context.env.queue(SWEEPS).is_ok()
}

/// Hands databases over to the queue, each with the numbers of the others.
async fn hand_over<'a>(
    context: &Context,
    shards: impl Iterator<Item = (&'a str, Numbers)>,
) -> Result<(), String> {
    let body = |(name, Numbers { stale, active }): (&str, Numbers)| {
        json!({ "type": "sweep", "shard": name, "others": { "stale": stale, "active": active } }).to_string()
    };
    let bodies: Vec<_> = shards.map(body).collect();
    // A queue takes 100 messages at once.
    for bodies in bodies.chunks(100) {
        courier::enqueue(context, SWEEPS, &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    }
    Ok(())
}
