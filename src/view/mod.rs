//! What is shown: the drafts list as HTML and as JSON, and the lines of the log. Pure: the same input gives the
//! same bytes.

mod draft;
mod log;
mod operators;
mod page;
mod report;
mod reports;

pub use draft::{DraftView, DraftsView, active_json, cursor, parse_cursor};
pub use log::{
    failed_delivery_line, failed_read_line, failed_sweep_line, refused_caller_line, restored_line,
    sweep_lines,
};
pub use operators::{Explained, counts_json, creations_json, diagnosis_json, explanation_json, sweeps_json};
pub use page::{DemoUser, demo_page, drafts_page, message_page};
pub use report::{plan_id, report_json};
pub use reports::{created_json, events_json, refused_json, reported_json};
