//! One file for each thing that can be asked.

pub mod doctor;
pub mod explain;
pub mod list;
pub mod shell;
pub mod sweep;
pub mod token;
