//! The pages, complete without JavaScript. Pure: the same input gives the same bytes.

mod charts;
mod dashboard;
mod drafts;
mod language;
mod layout;
mod ledger;
mod operators;

pub use dashboard::{DashboardView, dashboard_page};
pub use drafts::{DemoUser, demo_page, drafts_page};
pub use language::{Language, Parameter};
pub use layout::{message_page, owners_message_page};
pub use ledger::ledger_page;
pub use operators::{explanation_page, operator_sign_in, preview_page};
