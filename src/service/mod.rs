//! What the Worker does, over any database: all of it is tested natively.

pub mod monitor;
pub mod outbox;
