//! The outbox's service, with a receiver that is slow, refuses or lies, and senders that die.

use std::cell::RefCell;
use std::collections::BTreeSet;

use stale_drafts::rules::Timestamp;
use stale_drafts::service::outbox::{self, Bounds, CRON_MS, Courier, Message, NotSent, TIMEOUT_MS};
use stale_drafts::store::Destination;

use crate::call::Call;
use crate::script::Receiver;
use crate::world::{Link, Violation};

/// An event is tried so often before it is dead.
const MAX_DELIVERIES: u32 = 3;

/// A message while it is on its way.
#[derive(Clone, Debug)]
pub struct Sending {
    /// The event.
    pub id: String,
    /// Where it goes.
    pub to: Destination,
    /// Whose it is.
    pub actor: usize,
    /// The true time at which the sender stops waiting.
    pub until: Timestamp,
}

struct Carrier<'a> {
    link: &'a Link,
    receiver: Receiver,
    /// The events whose receiver has said that it has them, by destination.
    acknowledged: RefCell<BTreeSet<(String, u32)>>,
}

impl Courier for Carrier<'_> {
    fn now(&self) -> Timestamp {
        self.link.now()
    }

    fn configured(&self, _: Destination) -> Result<(), String> {
        Ok(())
    }

    async fn send(&self, to: Destination, messages: &[Message<'_>]) -> Result<(), NotSent> {
        let Carrier { link, receiver, .. } = *self;
        let world = &link.world;
        let began = world.true_time();
        for message in messages {
            self.holds_alone(message.id, to, began);
        }
        if receiver != Receiver::Refuses {
            let ids = messages.iter().map(|message| message.id.to_owned());
            world.history().delivered.extend(ids);
            world.reach("events delivered", messages.len());
        }
        link.turn().await;
        world.history().sending.retain(|sending| sending.actor != link.actor() || sending.to != to);
        let slow = world.true_time().millis_since(began) > TIMEOUT_MS;
        world.reach("events sent to a slow receiver", usize::from(slow));
        match receiver {
            _ if slow => Err(NotSent::from("it took too long")),
            Receiver::Takes => {
                let ids = messages.iter().map(|message| (message.id.to_owned(), to.bit()));
                self.acknowledged.borrow_mut().extend(ids);
                Ok(())
            }
            Receiver::Refuses | Receiver::Lies => Err(NotSent::from("503")),
        }
    }
}

impl Carrier<'_> {
    /// No other sender has the event on its way to the same destination. Clocks that are off are no fault of the outbox.
    fn holds_alone(&self, id: &str, to: Destination, began: Timestamp) {
        let world = &self.link.world;
        let mut history = world.history();
        let other = history.sending.iter().find(|sending| {
            sending.id == id
                && sending.to == to
                && sending.actor != self.link.actor()
                && began < sending.until
        });
        let other = other.map(|sending| sending.actor);
        let until = began.saturating_add(TIMEOUT_MS);
        history.sending.push(Sending { id: id.to_owned(), to, actor: self.link.actor(), until });
        drop(history);
        if let Some(other) = other.filter(|_| !world.is_skewed()) {
            let found = format!("a{} and a{other} send {id} at the same time", self.link.actor());
            world.violate(Violation::new("one-sender", found));
        }
    }
}

/// Delivers what is due. What was acknowledged and could be noted in time is gone from the outbox.
pub async fn deliver(link: Link, receiver: Receiver) {
    link.begin(Call::Courier);
    for shard in 0..link.world.databases() {
        deliver_of(&link, receiver, shard).await;
    }
}

async fn deliver_of(link: &Link, receiver: Receiver, shard: usize) {
    let world = std::rc::Rc::clone(&link.world);
    let began = world.true_time();
    let carrier = Carrier { link, receiver, acknowledged: RefCell::default() };
    let bounds = Bounds { max_deliveries: MAX_DELIVERIES, time_ms: CRON_MS, max_queries: 1_000 };
    let done = outbox::deliver(&link.to(shard), &carrier, bounds).await;
    world.reach("events that became dead letters", done.dead as usize);
    // One that was asleep for longer than its lease may have lost it.
    let in_time = world.true_time().millis_since(began) <= TIMEOUT_MS;
    if done.stopped.is_some() || !in_time || world.is_skewed() {
        return;
    }
    let acknowledged = carrier.acknowledged.borrow();
    let image = world.image_at(shard);
    let left = image.events.iter().find(|event| {
        let to = |bit: u32| event.destinations & bit != 0 && acknowledged.contains(&(event.id.clone(), bit));
        [1, 2, 4].into_iter().any(to)
    });
    if let Some(event) = left {
        let found = format!("{} was acknowledged and is to be sent again", event.id);
        world.violate(Violation::new("acknowledged-is-gone", found));
    }
}
