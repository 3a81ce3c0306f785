//! The pages, complete without JavaScript. Pure: the same input gives the same bytes.

mod audit;
mod charts;
mod creation;
mod dashboard;
mod done;
mod drafts;
mod explorer;
mod language;
mod layout;
mod ledger;
mod operators;
mod retries;
mod tables;
mod timeline;

pub use audit::audit_page;
pub use creation::creation_page;
pub use dashboard::{DashboardView, dashboard_page};
pub use done::Done;
pub use drafts::{DemoUser, demo_page, drafts_page};
pub use explorer::{ExplorerView, explorer_page};
pub use language::{Language, Parameter};
pub use layout::{
    creation_address, found_address, message_page, minute, owners_message_page, owners_page, refused_page,
};
pub use ledger::ledger_page;
pub use operators::{operator_sign_in, preview_page};
pub use retries::{RetriesView, retries_page, retries_preview_page};
