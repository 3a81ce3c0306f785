//! What the product does, over any database: every shell calls these functions, and so do the tests.

pub mod archive;
pub mod ask;
pub mod audit;
pub mod chat;
pub mod compaction;
pub mod creations;
pub mod explorer;
pub mod extensions;
pub mod find;
pub mod holds;
pub mod monitor;
pub mod moves;
pub mod outbox;
pub mod placement;
pub mod retries;
pub mod shards;
pub mod sweep;
pub mod together;
