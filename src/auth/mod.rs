//! Who is calling: users by a signed token, operators and schedulers by a token of their own, a shared secret, or a
//! token that an identity provider signed for them.
//!
//! Everything fails closed. A secret that is missing, short or a known placeholder lets nobody in, and neither do keys
//! that can't be fetched.

mod api_token;
mod chat_url;
mod claims;
mod csrf;
mod issuer;
mod jwks;
mod jwt;
mod secret;

pub use api_token::{ApiToken, Scope, find};
pub use chat_url::ChatUrl;
pub use csrf::{csrf, csrf_matches};
pub use issuer::{Algorithm, AuthConfig, Caller, Callers, Issuer};
pub use jwks::{KeyCache, Lookup};
pub use jwt::{Signed, TokenError, Unverified, claimed_issuer, sign};
pub use secret::{SECRETS, Secret, SecretError, bearer, cookie};

#[cfg(test)]
mod tests;
