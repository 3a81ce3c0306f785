//! The request's body, within bounds.

use ::worker::Request;

/// The longest body that is read, in bytes: a plan of 5,000 creations, as a dry run answers it.
const MAX_BYTES: usize = 4_000_000;

/// The body as text; empty if there is none.
pub(super) async fn text(request: &mut Request) -> Result<String, String> {
    let too_long = |bytes: usize| format!("the body has {bytes} bytes: expected at most {MAX_BYTES}");
    let announced = request.headers().get("Content-Length").ok().flatten();
    match announced.and_then(|bytes| bytes.parse().ok()) {
        Some(bytes) if bytes > MAX_BYTES => return Err(too_long(bytes)),
        _ => {}
    }
    let text = request.text().await.unwrap_or_default();
    if text.len() > MAX_BYTES { Err(too_long(text.len())) } else { Ok(text) }
}
