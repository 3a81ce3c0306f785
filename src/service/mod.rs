//! What the product does, over any database: every shell calls these functions, and so do the tests.

pub mod creations;
pub mod monitor;
pub mod outbox;
pub mod sweep;
