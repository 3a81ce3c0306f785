//! The request's body, within bounds.

use web_sys::UrlSearchParams;

use super::message::Request;

/// The longest body that is read, in bytes: a plan of 5,000 creations, as a dry run answers it.
const MAX_BYTES: usize = 4_000_000;

/// The body as text; empty if there is none. One that can't be read to its end is an error, for an empty one may mean
/// everything: a status and what to say.
pub(super) async fn text(request: &Request) -> Result<String, (u16, String)> {
    let bad = |error: &str| (400, String::from(error));
    let body = request.body(MAX_BYTES).await;
    let body = body.map_err(|_| bad("the body can't be read to its end: send it again, whole"))?;
    let too_long = || format!("the body has more than {MAX_BYTES} bytes: expected at most {MAX_BYTES}");
    let body = body.ok_or_else(|| (413, too_long()))?;
    let text = String::from_utf8(body).map_err(|_| bad("the body is no text: expected UTF-8"))?;
    // Some write it before UTF-8, and it means nothing.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The fields of a form, as a page sends it.
pub(super) struct Form(Option<UrlSearchParams>);

impl Form {
    /// Reads it as [`text`] does.
    pub(super) async fn read(request: &Request) -> Result<Self, (u16, String)> {
        let text = text(request).await?;
        Ok(Form(UrlSearchParams::new_with_str(&text).ok()))
    }

    /// A field; empty if it is not there.
    pub(super) fn field(&self, name: &str) -> String {
        self.0.as_ref().and_then(|fields| fields.get(name)).unwrap_or_default()
    }
}
