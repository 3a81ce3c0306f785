//! What is rejected before anything else: endless URLs, and callers who ask too often.

use std::net::Ipv6Addr;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::ORIGIN;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::app::{Invocation, config};
use super::cors::Sharing;
use super::problem::Problem;

/// The longest URL that is read, in bytes.
const MAX_URL: usize = 4_096;

/// 414 for a URL that is too long.
pub(super) fn url_length(url: &str) -> Result<(), Problem> {
    if url.len() <= MAX_URL {
        return Ok(());
    }
    let message = format!("the URL has {} bytes: expected at most {MAX_URL}", url.len());
    Err(Problem::new(StatusCode::URI_TOO_LONG, message))
}

/// The layer that answers 429 to an address that asks too often.
pub(super) async fn limit(Invocation { env, .. }: Invocation, request: Request, next: Next) -> Response {
    // A Worker that calls by a service binding has no address: it is of the same account, and is not limited.
    let address = request.headers().get("CF-Connecting-IP");
    let address = address.map(|address| String::from_utf8_lossy(address.as_bytes()).into_owned());
    // The binding is there where it is configured; one that does not answer keeps nobody out.
    if let (Some(address), Ok(limiter)) = (address, env.rate_limiter("RATE_LIMITER"))
        && limiter.limit(caller(address)).await.is_ok_and(|outcome| !outcome.success)
    {
        let message = "too many requests: try again in a minute";
        let refused = Problem::new(StatusCode::TOO_MANY_REQUESTS, message).into_response();
        // A listed origin's page would only see that something failed. For others the configuration is not read: this is to be cheap.
        if !request.headers().contains_key(ORIGIN) {
            return refused;
        }
        let allowed = config(&env).map(|config| config.allowed_origins).unwrap_or_default();
        return Sharing::of(&allowed, &request).mark(refused);
    }
    next.run(request).await
}

/// Who counts as one caller. A network of IPv6 is given out as a /64 at least, and whoever has one has all its addresses; an
/// address of IPv4 may be written as one of IPv6.
fn caller(address: String) -> String {
    let Ok(parsed) = address.parse::<Ipv6Addr>() else { return address };
    if parsed.to_ipv4_mapped().is_some() {
        let [.., one, two, three, four] = parsed.octets();
        return format!("{one}.{two}.{three}.{four}");
    }
    let [one, two, three, four, ..] = parsed.segments();
    format!("{one:x}:{two:x}:{three:x}:{four:x}::/64")
}
