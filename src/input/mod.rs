//! What requests carry: bodies and the parameters of a query. Pure: text goes in, and a value or an error that quotes it comes
//! out. `fuzz/` holds each of these against any input.

mod fields;
mod options;
mod parameters;
mod plan;
mod reports;

pub use fields::Fields;
pub use options::Options;
pub use parameters::{parameters, whole};
pub use plan::Plan;
pub use reports::{Asked, Reported};
