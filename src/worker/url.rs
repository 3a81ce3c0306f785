//! The request's URL, read by the runtime's own parser: the crate `url` would be 12 kB of the Worker.

use wasm_bindgen::JsCast as _;
use web_sys::Url;

use super::message::Request;
use crate::input;

/// The host's name, such as `localhost` or `[::1]`.
pub(super) fn hostname(request: &Request) -> Option<String> {
    Url::new(request.url()).ok().map(|url| url.hostname())
}

/// The parameters of the query, decoded, in order.
pub(super) fn query(request: &Request) -> Vec<(String, String)> {
    let Ok(url) = Url::new(request.url()) else { return Vec::new() };
    let Ok(Some(pairs)) = js_sys::try_iter(&url.search_params()) else { return Vec::new() };
    let text = |pair: &js_sys::Array, at| pair.get(at).as_string();
    pairs
        .filter_map(|pair| {
            let pair = pair.ok()?.dyn_into::<js_sys::Array>().ok()?;
            Some((text(&pair, 0)?, text(&pair, 1)?))
        })
        .collect()
}

/// The parameters of the query by name: see [`input::parameters`].
pub(super) fn parameters<const N: usize>(
    request: &Request,
    known: [&'static str; N],
) -> Result<[Option<String>; N], String> {
    input::parameters(query(request), known)
}

/// A part of a path, decoded; as it is if it can't be.
pub(super) fn decode(part: &str) -> String {
    js_sys::decode_uri_component(part).map_or_else(|_| part.to_owned(), String::from)
}
