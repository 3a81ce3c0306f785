//! Who is calling: users by a signed token, schedulers by a shared secret.
//!
//! Everything fails closed. A secret that is missing, short or a known placeholder lets nobody in.

mod jwt;
mod secret;

pub use jwt::{Claims, Key, TokenError, verify};
pub use secret::{Secret, SecretError, bearer};

#[cfg(test)]
mod tests;
