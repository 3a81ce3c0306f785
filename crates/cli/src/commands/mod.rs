//! One file for each thing that can be asked.

pub mod doctor;
pub mod events;
pub mod explain;
pub mod list;
pub mod restore;
pub mod shell;
pub mod sweep;
pub mod token;
