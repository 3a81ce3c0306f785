//! Stale Drafts decides which generated images and videos are stuck, marks them failed and refunds their
//! tokens exactly once.
//!
//! | module | feature | what it is |
//! |---|---|---|
//! | `rules` | none | what is stale, and what to tell its owner: pure, std only |
//! | `store` | `server` | all SQL, and the rows that it answers with |
//! | `service` | `server` | the sweep, reports, the outbox and the monitor, over any database |
//! | `read` | `server` | what others wrote, read into types, with errors that help |
//! | `config` | `server` | the configuration table, validated |
//! | `auth` | `server` | who is calling: tokens and secrets |
//! | `texts` | `server` | what the owners' pages say, in English |
//! | `worker` | `worker` | the Cloudflare Worker: routes, pages, log; converts, calls, carries out |
//! | `browser` | `browser` | the rules for the npm package |
//!
//! Dependencies point inwards only; `tests/architecture.rs` keeps it so.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

pub mod rules;

#[cfg(feature = "server")]
pub mod auth;
#[cfg(any(feature = "browser-draft", feature = "browser-policy"))]
pub mod browser;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod read;
#[cfg(feature = "server")]
pub mod service;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod texts;
#[cfg(feature = "worker")]
pub mod worker;
