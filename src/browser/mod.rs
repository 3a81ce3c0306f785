//! The rules for a web page: what the npm package `stale-drafts` calls.
//!
//! JavaScript converts dates to numbers and passes text on; everything that is decided, and every word that a user reads,
//! comes from here. There are two WebAssembly modules, so that a page loads only what it uses:
//!
//! - [`draft`] judges a draft: the limits, then [`check`](draft::check), then each field of the answer by its name.
//! - [`policy`] understands a policy object: its settings one by one, then what they give.
//!
//! Only numbers cross the boundary. Text goes through a buffer: see [`text`]. So nothing is allocated, and both modules
//! stay small.
//!
//! | number | means |
//! |---|---|
//! | a time | epoch milliseconds; NaN if there is none; malformed if it is no [`Timestamp`](crate::rules::Timestamp) |
//! | a limit | milliseconds; Infinity for `never` |
//! | a length | so many bytes of UTF-8 stand in the buffer |
//! | a place | of a name in the lines that `names` writes, or of a limit among the arguments of `limits`; -1 for none |

#[cfg(feature = "browser-draft")]
pub mod draft;
#[cfg(feature = "browser-policy")]
pub mod policy;
pub mod text;

use crate::rules::Limit;
#[cfg(feature = "browser-draft")]
use crate::rules::MaxAge;

const fn millis(limit: Limit) -> f64 {
    match limit {
        Limit::After(max_age) => max_age.as_millis() as f64,
        Limit::Never => f64::INFINITY,
    }
}

/// A cast of a number that is out of range saturates in WebAssembly; in JavaScript by wasm2js it gives 0, or the least number
/// if there are negative ones. Either is beyond every [`MaxAge`], or below.
#[cfg(feature = "browser-draft")]
fn limit(millis: f64) -> Limit {
    MaxAge::from_millis(millis as u64).map_or(Limit::Never, Limit::After)
}

/// Nothing here allocates, but wasm-bindgen exports functions that do, which nobody calls. No tool removes the messages of an
/// allocator from the data of a module; this one has none.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: lol_alloc::FailAllocator = lol_alloc::FailAllocator;
