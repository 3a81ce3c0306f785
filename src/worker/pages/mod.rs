//! The pages, complete without JavaScript. Pure: the same input gives the same bytes.

mod charts;
mod dashboard;
mod drafts;
mod layout;
mod ledger;
mod operators;

pub use dashboard::{DashboardView, dashboard_page};
pub use drafts::{DemoUser, demo_page, drafts_page};
pub(super) use layout::date;
pub use layout::message_page;
pub use ledger::ledger_page;
pub use operators::{explanation_page, operator_sign_in, preview_page};
