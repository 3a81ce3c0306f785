//! Stale Drafts decides which generated images and videos are stuck, marks them failed and refunds their
//! tokens exactly once.
//!
//! | module | feature | what it is |
//! |---|---|---|
//! | `rules` | none | what is stale, and what to tell its owner: pure, std only |
//! | `store` | `server` | all SQL, and the rows that it answers with |
//! | `sweep` | `server` | the one function that sweeps, over any database |
//! | `report` | `server` | what workers, owners and operators report, over any database |
//! | `read` | `server` | what others wrote, read into types, with errors that help |
//! | `config` | `server` | the configuration table, validated |
//! | `auth` | `server` | who is calling: tokens and secrets |
//! | `input` | `server` | what requests carry: bodies and parameters |
//! | `view` | `server` | what is shown: pages, JSON, log lines |
//! | `d1` | `worker` | runs the statements on Cloudflare D1 |
//! | `worker` | `worker` | the Cloudflare Worker: converts, calls, carries out |
//! | `browser` | `browser` | the rules as functions of numbers, for the npm package |
//!
//! Dependencies point inwards only; `tests/architecture.rs` keeps it so.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

pub mod rules;

#[cfg(feature = "server")]
pub mod auth;
#[cfg(feature = "browser")]
pub mod browser;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "worker")]
mod d1;
#[cfg(feature = "server")]
pub mod input;
#[cfg(feature = "server")]
pub mod read;
#[cfg(feature = "server")]
pub mod report;
#[cfg(feature = "server")]
pub mod service;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod sweep;
#[cfg(feature = "server")]
pub mod view;
#[cfg(feature = "worker")]
mod worker;
