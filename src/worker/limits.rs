//! What is refused before anything is looked at: URLs without end, and callers who ask too often.

use ::worker::{Env, Request, Response};

use super::respond;

/// The longest URL that is looked at, in bytes.
const MAX_URL: usize = 4_096;

/// A refusal, if there is a reason for one.
pub(super) async fn check(env: &Env, request: &Request) -> Option<::worker::Result<Response>> {
    let url = request.inner().url();
    if url.len() > MAX_URL {
        let error = format!("the URL has {} bytes: expected at most {MAX_URL}", url.len());
        return Some(respond::error(414, &error));
    }
    // The binding is there where it is configured; one that does not answer keeps nobody out.
    let limiter = env.rate_limiter("RATE_LIMITER").ok()?;
    let address = request.headers().get("CF-Connecting-IP").ok().flatten().unwrap_or_default();
    let outcome = limiter.limit(address).await.ok()?;
    (!outcome.success).then(respond::too_many_requests)
}
