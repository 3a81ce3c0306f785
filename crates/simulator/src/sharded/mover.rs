//! An operator who moves buckets: request by request, as `src/worker/routes/shards.rs` carries them out.

use std::rc::Rc;

use stale_drafts::service::moves::{self, Bounds, Goal, Move, MoveError, Plan, Progress};
use stale_drafts::service::shards::Shard;
use stale_drafts::store::{self, Database as _, PageSize};

use super::places::Places;
use super::{Moving, binding};
use crate::call::Call;
use crate::generate::HOSTS;
use crate::world::{Link, Violation, World};

/// At most so many requests until an operator gives up.
const REQUESTS: u32 = 40;
/// For so many turns of an operator the configuration is wrong.
const MISTAKEN: u32 = 4;
/// So often cron comes, a quarter of an hour apart: for longer than the farthest clock is ahead.
const CRONS: u32 = 16;
/// Pages so small that everything takes several, and requests so short that a move takes several.
const SMALL: Bounds = Bounds {
    queries: 30,
    users: 1,
    page: PageSize { rows: 1, bytes: 500, slice: 4 },
    grace_ms: moves::GRACE_MS,
};

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Moves, changes the configuration, waits until every host has it, and finishes.
    There,
    /// The same, and does not wait.
    ThereAtOnce,
    /// Cancels what somebody else began.
    Back,
    /// Moves nothing and changes the configuration, and after a while puts it right.
    Unmoved,
}

/// What came of a request.
enum Answer {
    Done,
    GoesOn,
    Waits(u64),
    Refused,
}

/// Until it is done, or refused, or has to wait. `small` is how much a request does.
pub async fn carry(link: Link, moving: Moving, way: Way, small: bool) {
    let bounds = if small { SMALL } else { Bounds::default() };
    let bounds = Bounds { grace_ms: link.world.grace_ms(), ..bounds };
    if way == Way::Back {
        reach(&link, moving, Goal::Cancelled, bounds).await;
        return;
    }
    if way == Way::Unmoved {
        give_away(&link, moving).await;
        return;
    }
    if !reach(&link, moving, Goal::Moved, bounds).await {
        return;
    }
    let world = Rc::clone(&link.world);
    let Some(places) = world.places() else { return };
    if let Err(error) = places.configure() {
        world.violate(Violation::new("simulator", error));
    }
    places.deploy(link.host());
    while way == Way::There && !places.is_deployed() {
        link.turn().await;
    }
    reach(&link, moving, Goal::Done, bounds).await;
}

/// Everybody gets a configuration that no move has made true; and then one that is.
async fn give_away(link: &Link, moving: Moving) {
    let world = Rc::clone(&link.world);
    let Some(places) = world.places() else { return };
    let everywhere = |changed: Result<(), String>| {
        if let Err(error) = changed {
            world.violate(Violation::new("simulator", error));
        }
        (0..HOSTS).for_each(|host| places.deploy(host));
    };
    everywhere(places.give_away(moving));
    world.reach("configurations without a move", 1);
    for _ in 0..MISTAKEN {
        link.turn().await;
    }
    everywhere(places.configure());
}

/// Whether the goal was reached.
async fn reach(link: &Link, moving: Moving, goal: Goal, bounds: Bounds) -> bool {
    for _ in 0..REQUESTS {
        match request(link, moving, goal, bounds).await {
            Answer::Done => return true,
            Answer::GoesOn => {}
            Answer::Waits(_) => return false,
            Answer::Refused => {
                link.world.reach("requests to move that were refused", 1);
                return false;
            }
        }
    }
    false
}

async fn request(link: &Link, moving: Moving, goal: Goal, bounds: Bounds) -> Answer {
    let Moving { buckets, source, target } = moving;
    link.begin(Call::Move(moving));
    let Some(shards) = link.shards() else { return Answer::Refused };
    let (source_name, target_name) = (binding(source), binding(target));
    let (source_side, target_side) = (link.to(source), link.to(target));
    let from = Shard { name: &source_name, database: &source_side };
    let to = Shard { name: &target_name, database: &target_side };
    let id = match moves::planned(&from, &to, buckets, goal, &shards).await {
        Ok(Ok(Plan::GoesOn(id))) => id,
        Ok(Ok(Plan::Begins)) => format!("m{:04}", link.world.number()),
        Ok(Err(_)) => return Answer::Refused,
        Err(_) => return Answer::GoesOn,
    };
    step(link, &id, moving, goal, bounds).await
}

async fn step(link: &Link, id: &str, moving: Moving, goal: Goal, bounds: Bounds) -> Answer {
    let Moving { buckets, source, target } = moving;
    let (source_name, target_name) = (binding(source), binding(target));
    let planned = Move { id, buckets, source: &source_name, target: &target_name };
    match moves::step(&link.to(source), &link.to(target), planned, goal, link.now(), bounds).await {
        Ok(Progress { done: true, .. }) => Answer::Done,
        Ok(Progress { waits_until: Some(until), .. }) => Answer::Waits(until),
        Ok(_) | Err(MoveError::Database { .. }) => Answer::GoesOn,
        Err(MoveError::Refused(why)) => {
            link.world.note(|| format!("it is refused: {why}"));
            if !may_be(&why) {
                link.world.violate(Violation::new("a-move-ends", why));
            }
            Answer::Refused
        }
    }
}

/// Whether a move may be refused for this: there is another one, or somebody else was faster. Rows that differ, users who are there
/// already and states that do not belong together are none of that.
fn may_be(why: &str) -> bool {
    [
        "is about some of the buckets",
        "expected one of those that it has",
        "can't be cancelled any more",
        "was cancelled: cancel it again",
        "has not moved yet",
    ]
    .iter()
    .any(|words| why.contains(words))
}

/// Ends every move that has begun, once nothing goes wrong any more. Those that may be cancelled or not are so by turns.
pub async fn finish(link: Link) {
    let world = Rc::clone(&link.world);
    let Some(places) = world.places() else { return };
    if let Err(error) = places.configure() {
        world.violate(Violation::new("simulator", error));
    }
    for _ in 0..REQUESTS {
        let Some((id, moving, states)) = places.unfinished().into_iter().next() else {
            settle(&link, places).await;
            world.check(places.at_rest());
            return;
        };
        let known = states.each_ref().map(Option::as_deref);
        world.reach("moves that only their target knows", usize::from(known == [None, Some("arriving")]));
        let goal = match known {
            [Some("moved" | "trimmed"), _] => Goal::Done,
            [Some("paused" | "copied" | "verified"), Some("arriving")]
                if id.bytes().last().is_some_and(|byte| byte % 2 == 0) =>
            {
                Goal::Moved
            }
            _ => Goal::Cancelled,
        };
        link.begin(Call::Move(moving));
        let bounds = Bounds { grace_ms: world.grace_ms(), ..Bounds::default() };
        if let Answer::Waits(until) = step(&link, &id, moving, goal, bounds).await {
            wait(&world, until);
        }
        if let Err(error) = places.configure() {
            world.violate(Violation::new("simulator", error));
        }
        if world.violation().is_some() {
            return;
        }
    }
    world.violate(Violation::new(
        "a-move-ends",
        format!("there are moves after {REQUESTS} requests in peace"),
    ));
}

/// Cron lets those go whose move was cancelled, once their workers have had time to report again. The clock of whoever cancelled it may have
/// been hours ahead.
async fn settle(link: &Link, places: &Places) {
    for _ in 0..CRONS {
        let Some(moving) = places.with_users() else { return };
        link.begin(Call::Move(moving));
        wait(&link.world, link.world.true_time().as_millis().saturating_add(link.world.grace_ms()));
        for shard in 0..link.world.databases() {
            let now = link.now();
            let arrived = now.saturating_sub(link.world.grace_ms());
            if let Err(error) = link.to(shard).run(&store::settle_moves(arrived, now)).await {
                link.world.violate(Violation::new("simulator", error.to_string()));
            }
        }
    }
}

fn wait(world: &World, until: u64) {
    world.advance(until.saturating_sub(world.true_time().as_millis()));
}
