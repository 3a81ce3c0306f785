//! The routes, and who may call them.

pub(super) mod acting;
pub(super) mod bulk;
pub(super) mod compaction;
pub mod creations;
pub(super) mod dashboard;
pub(super) mod demo;
pub(super) mod drafts;
pub mod events;
pub mod explorer;
pub mod extensions;
pub mod grants;
pub(super) mod health;
pub(super) mod ledger;
pub(super) mod notes;
pub(super) mod policy;
pub(super) mod questions;
pub(super) mod retries;
pub(super) mod shards;
pub mod sweeps;

use axum::Router;
use axum::middleware::{from_fn, map_response};
use axum::routing::{delete, get, post};

use super::problem::{method_not_allowed, nothing_here, see_other};
use super::{app, cross_site, rate_limit, security_headers};

/// Every route. A HEAD is answered as a GET. The layers are from the innermost to the outermost.
pub(super) fn router() -> Router {
    Router::new()
        .route("/", get(async || see_other("/drafts")))
        .route("/drafts", get(drafts::page))
        .route("/drafts/retry", post(drafts::retry_on_page))
        .route("/drafts/cancel", post(drafts::cancel_on_page))
        .route("/drafts/tokens", get(ledger::page))
        .route("/api/drafts", get(drafts::list))
        .route("/api/drafts/active", get(drafts::active))
        .route("/api/drafts/{id}", delete(drafts::delete))
        .route("/api/drafts/{id}/publish", post(drafts::publish))
        .route("/api/drafts/{id}/retry", post(drafts::retry))
        .route("/api/drafts/{id}/cancel", post(drafts::cancel))
        .route("/api/creations", get(creations::list).post(creations::create))
        .route("/api/creations/{id}", get(creations::explain))
        .route("/api/creations/{id}/start", post(creations::start))
        .route("/api/creations/{id}/heartbeat", post(creations::heartbeat))
        .route("/api/creations/{id}/complete", post(creations::complete))
        .route("/api/creations/{id}/fail", post(creations::fail))
        .route("/api/creations/{id}/restore", post(creations::restore))
        .route("/api/creations/{id}/retry", post(creations::retry))
        .route("/api/creations/{id}/cancel", post(creations::cancel))
        .route("/api/creations/{id}/fail-now", post(creations::fail_now))
        .route("/api/creations/{id}/extend", post(extensions::extend))
        .route(
            "/api/extensions",
            get(extensions::list).post(extensions::extend_kind).delete(extensions::end_extension),
        )
        .route("/api/creations/{id}/notes", post(notes::creation))
        .route("/api/policy", get(policy::show))
        .route("/api/balance", get(ledger::balance))
        .route("/api/ledger", get(ledger::list))
        .route("/api/grants", post(grants::create))
        .route("/api/generate/cleanup-stale", post(sweeps::cleanup_stale))
        .route("/api/sweeps", get(sweeps::list))
        .route("/api/sweeps/{id}/notes", post(notes::sweep))
        .route("/api/events", get(events::list))
        .route("/api/events/replay", post(events::replay))
        .route("/api/search", get(explorer::search))
        .route("/api/retries", post(retries::apply))
        .route("/api/retries/preview", post(retries::preview))
        .route("/api/counts", get(questions::counts))
        .route("/api/doctor", get(questions::doctor))
        .route("/api/ledger/compact", post(compaction::compact_ledger))
        .route("/api/shards", get(shards::list))
        .route("/api/shards/moves", post(shards::advance))
        .route("/metrics", get(questions::metrics))
        .route("/dashboard", get(dashboard::page))
        .route("/dashboard/sign-in", post(dashboard::sign_in))
        .route("/dashboard/sign-out", post(dashboard::sign_out))
        .route("/dashboard/preview", post(dashboard::preview))
        .route("/dashboard/apply", post(dashboard::apply))
        .route("/dashboard/pause", post(dashboard::pause))
        .route("/dashboard/resume", post(dashboard::resume))
        .route("/dashboard/audit", get(dashboard::audit))
        .route("/dashboard/creations", get(dashboard::explorer))
        .route("/dashboard/creations/{id}", get(dashboard::explain))
        .route("/dashboard/note", post(acting::note))
        .route("/dashboard/retries", post(bulk::apply))
        .route("/dashboard/retries/preview", post(bulk::preview))
        .route("/dashboard/retry", post(acting::retry))
        .route("/dashboard/cancel", post(acting::cancel))
        .route("/dashboard/fail", post(acting::fail))
        .route("/dashboard/restore", post(acting::restore))
        .route("/dashboard/extend", post(acting::extend))
        .route("/dashboard/extend-kind", post(acting::extend_kind))
        .route("/dashboard/end-extension", post(acting::end_extension))
        .route("/demo", get(demo::page).post(demo::sign_in))
        .fallback(nothing_here)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(cross_site::guard))
        .layer(from_fn(app::provide))
        // Whether or not the configuration is valid.
        .route("/readyz", get(health::ready).fallback(method_not_allowed))
        .layer(from_fn(rate_limit::limit))
        // Whoever asks, and however often.
        .route("/healthz", get(health::alive).fallback(method_not_allowed))
        .layer(map_response(security_headers::headers))
}
