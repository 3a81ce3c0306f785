//! The request's body, within bounds.

use web_sys::UrlSearchParams;

use super::message::Request;

/// The longest body that is read, in bytes: a plan of 5,000 creations, as a dry run answers it.
const MAX_BYTES: usize = 4_000_000;

/// The body as text; empty if there is none.
pub(super) async fn text(request: &Request) -> Result<String, String> {
    let too_long = |bytes: usize| format!("the body has {bytes} bytes: expected at most {MAX_BYTES}");
    let announced = request.header("Content-Length");
    match announced.and_then(|bytes| bytes.parse().ok()) {
        Some(bytes) if bytes > MAX_BYTES => return Err(too_long(bytes)),
        _ => {}
    }
    let text = request.text().await.unwrap_or_default();
    if text.len() > MAX_BYTES { Err(too_long(text.len())) } else { Ok(text) }
}

/// The fields of a form, as a page sends it.
pub(super) struct Form(Option<UrlSearchParams>);

impl Form {
    pub(super) async fn read(request: &Request) -> Self {
        let text = text(request).await.unwrap_or_default();
        Form(UrlSearchParams::new_with_str(&text).ok())
    }

    /// A field; empty if it is not there.
    pub(super) fn field(&self, name: &str) -> String {
        self.0.as_ref().and_then(|fields| fields.get(name)).unwrap_or_default()
    }
}
