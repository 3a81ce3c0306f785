//! The request's body, within bounds.

use web_sys::UrlSearchParams;

use super::message::Request;

/// The longest body that is read, in bytes: a plan of 5,000 creations, as a dry run answers it.
const MAX_BYTES: usize = 4_000_000;

/// The body as text; empty if there is none. One that can't be read to its end is an error, for an empty one may mean
/// everything: a status and what to say.
pub(super) async fn text(request: &Request) -> Result<String, (u16, String)> {
    let too_long = |bytes: usize| (413, format!("the body has {bytes} bytes: expected at most {MAX_BYTES}"));
    let announced = request.header("Content-Length");
    match announced.and_then(|bytes| bytes.parse().ok()) {
        Some(bytes) if bytes > MAX_BYTES => return Err(too_long(bytes)),
        _ => {}
    }
    let unread = |_| (400, String::from("the body can't be read to its end: send it again, whole"));
    let text = request.text().await.map_err(unread)?;
    if text.len() > MAX_BYTES { Err(too_long(text.len())) } else { Ok(text) }
}

/// The fields of a form, as a page sends it.
pub(super) struct Form(Option<UrlSearchParams>);

impl Form {
    /// Reads it as [`text`] does. A form may come from anybody, and its body is read whole before it can be measured: so it has
    /// to say its length first, as every browser does.
    pub(super) async fn read(request: &Request) -> Result<Self, (u16, String)> {
        if request.header("Content-Length").is_none() {
            return Err((
                411,
                String::from("the form does not say how long it is: expected a `Content-Length`"),
            ));
        }
        let text = text(request).await?;
        Ok(Form(UrlSearchParams::new_with_str(&text).ok()))
    }

    /// A field; empty if it is not there.
    pub(super) fn field(&self, name: &str) -> String {
        self.0.as_ref().and_then(|fields| fields.get(name)).unwrap_or_default()
    }
}
