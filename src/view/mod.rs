//! What is shown: the drafts list as HTML and as JSON, and the lines of the log. Pure: the same input gives the
//! same bytes.

mod dashboard;
mod draft;
mod log;
mod metrics;
mod operators;
mod page;
mod report;
mod reports;

pub use dashboard::{DashboardView, dashboard_page, explanation_page, operator_sign_in, preview_page};
pub use draft::{DraftView, DraftsView, active_json, cursor, parse_cursor};
pub use log::{
    action_line, alert_line, failed_delivery_line, failed_read_line, failed_sweep_line, refused_caller_line,
    resolved_line, restored_line, sweep_lines,
};
pub use metrics::metrics;
pub use operators::{Explained, counts_json, creations_json, diagnosis_json, explanation_json, sweeps_json};
pub use page::{DemoUser, demo_page, drafts_page, message_page};
pub use report::{plan_id, report_json};
pub use reports::{created_json, events_json, refused_json, reported_json};
